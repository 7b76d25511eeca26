package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
)

// The form of the file:
//
//	file   = two equal headers, then records
//	header = magic (8 bytes) version (4) marker (8) CRC-32C of these (4)
//	record = marker (8) sequence (8) kind (1) zeros (3) length of the body (4) CRC-32C of the body (4) CRC-32C of these (4) body
//
// Numbers are little endian. Sequence numbers begin with 1 in each file and have no gaps. The marker is random, so no request has it by
// chance or by design.
const (
	magic         = "onlyJRNL"
	formatVersion = 1
	markerSize    = 8
	copySize      = 8 + 4 + markerSize + 4
	headerSize    = 2 * copySize
	frameSize     = markerSize + 8 + 4 + 4 + 4 + 4
)

const (
	kindCall    byte = 1
	kindRemoval byte = 2
)

type marker [markerSize]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // never modified

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// newHeader encodes the beginning of a file.
func newHeader(mark marker) []byte {
	var buf []byte

	for range 2 {
		start := len(buf)
		buf = append(buf, magic...)
		buf = binary.LittleEndian.AppendUint32(buf, formatVersion)
		buf = append(buf, mark[:]...)
		buf = binary.LittleEndian.AppendUint32(buf, checksum(buf[start:]))
	}

	return buf
}

// appendRecord encodes a record.
func appendRecord(buf []byte, mark marker, sequence uint64, kind byte, body []byte) []byte {
	start := len(buf)
	buf = append(buf, mark[:]...)
	buf = binary.LittleEndian.AppendUint64(buf, sequence)
	buf = append(buf, kind, 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(body))) //nolint:gosec // bounded by maxBody
	buf = binary.LittleEndian.AppendUint32(buf, checksum(body))
	buf = binary.LittleEndian.AppendUint32(buf, checksum(buf[start:]))

	return append(buf, body...)
}

// Damage is a part of the file that was not readable when the journal was opened. The calls in it are lost to the journal: find out what
// became of them.
type Damage struct {
	// Offset and Bytes are the place in the file.
	Offset, Bytes int64
	// Records is how many records are missing, calls and removals together. It is 0 if the number is not known, as at the end of the file. If
	// a removal is missing, its call is sent once more.
	Records uint64
}

// contents is what a file has.
type contents struct {
	calls    []Entry // not removed, oldest first
	mark     marker
	sequence uint64 // of the last record
	last     uint64 // the highest number of a call, removed or not
	end      int    // where the last whole record ends
	torn     int    // bytes of a record that was not written to its end
	damage   []Damage
	copies   int // headers that are whole
}

// readHeader returns the marker of the file. A header counts if its checksum is right.
func readHeader(data []byte) (mark marker, copies int) {
	for _, start := range []int{copySize, 0} {
		if len(data) < start+copySize {
			continue
		}

		part := data[start : start+copySize]
		sum := binary.LittleEndian.Uint32(part[copySize-4:])

		if string(part[:8]) == magic && binary.LittleEndian.Uint32(part[8:]) == formatVersion && checksum(part[:copySize-4]) == sum {
			mark = marker(part[12 : 12+markerSize])
			copies++
		}
	}

	return mark, copies
}

// unfinishedHeader reports a file that is shorter than its header, so that no call is in it.
func unfinishedHeader(data []byte) bool {
	return len(data) < headerSize && bytes.HasPrefix(data, []byte(magic)[:min(len(data), len(magic))])
}

// frame is the header of a record.
type frame struct {
	sequence uint64
	kind     byte
	size     int // of the body
	sum      uint32
}

func readFrame(data []byte, mark marker) (frame, bool) {
	if len(data) < frameSize || marker(data[:markerSize]) != mark ||
		checksum(data[:frameSize-4]) != binary.LittleEndian.Uint32(data[frameSize-4:]) {
		return frame{}, false
	}

	return frame{
		sequence: binary.LittleEndian.Uint64(data[8:]), kind: data[16],
		size: int(binary.LittleEndian.Uint32(data[20:])), sum: binary.LittleEndian.Uint32(data[24:]),
	}, true
}

// readContents reads a file. It believes a record only if both checksums are right and its sequence number is higher than the last.
func readContents(data []byte) (contents, error) {
	mark, copies := readHeader(data)
	if copies == 0 || len(data) < headerSize {
		return contents{}, ErrNotJournal
	}

	c := contents{mark: mark, copies: copies, end: headerSize}
	live := make(map[uint64]Entry)
	at := headerSize

	for at < len(data) {
		f, body, ok := c.whole(data[at:])
		if ok && c.apply(f, body, live) {
			c.miss(at, f.sequence)
			c.sequence = f.sequence
			at += frameSize + f.size
			c.end = at

			continue
		}

		next := c.next(data, at)
		if next < 0 {
			c.finish(data, at)

			break
		}

		at = next
	}

	c.calls = slices.SortedFunc(maps.Values(live), func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })

	return c, nil
}

// whole returns the record at the beginning of data, if it is readable.
func (c *contents) whole(data []byte) (frame, []byte, bool) {
	f, ok := readFrame(data, c.mark)
	if !ok || f.sequence <= c.sequence || f.size > len(data)-frameSize {
		return frame{}, nil, false
	}

	body := data[frameSize : frameSize+f.size : frameSize+f.size]

	return f, body, checksum(body) == f.sum
}

// apply does what a record says. It returns false if the record makes no sense.
func (c *contents) apply(f frame, body []byte, live map[uint64]Entry) bool {
	switch f.kind {
	case kindCall:
		entry, err := decodeCall(body)
		if _, twice := live[entry.ID]; err != nil || twice {
			return false
		}

		live[entry.ID] = entry
		c.last = max(c.last, entry.ID)

		return true
	case kindRemoval:
		id, err := decodeRemoval(body)
		delete(live, id)

		return err == nil
	default:
		return false
	}
}

// miss notes what is missing before the record at a place.
func (c *contents) miss(at int, sequence uint64) {
	if at != c.end || sequence != c.sequence+1 {
		c.damage = append(c.damage, Damage{Offset: int64(c.end), Bytes: int64(at - c.end), Records: sequence - c.sequence - 1})
	}
}

// next returns where the next readable record begins behind a place that is not readable, or -1.
func (c *contents) next(data []byte, at int) int {
	for from := at + 1; from < len(data); {
		found := bytes.Index(data[from:], c.mark[:])
		if found < 0 {
			return -1
		}

		from += found

		if _, _, ok := c.whole(data[from:]); ok {
			return from
		}

		from++
	}

	return -1
}

// finish decides what the end of the file is that is not readable: a record that was being written, or damage.
func (c *contents) finish(data []byte, at int) {
	rest := data[c.end:]
	f, readable := readFrame(rest, c.mark)
	unfinished := at == c.end && (len(rest) < frameSize || readable && f.size > len(rest)-frameSize)

	if unfinished || len(bytes.Trim(rest, "\x00")) == 0 {
		c.torn = len(rest)

		return
	}

	c.damage = append(c.damage, Damage{Offset: int64(c.end), Bytes: int64(len(rest))})
}
