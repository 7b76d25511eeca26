package outcome

import "encoding/binary"

// Attached has the optional parts of a record next to its outcome. In format 2 they follow the body:
//
//	each attachment  …  the last four bytes
//	tag, length, bytes  length of all attachments
//
// The attachments are sorted by tag. A tag is one byte. A length is four bytes, the most significant first.
type Attached struct {
	// Request is the request of the run, at most 1 MiB. A longer request is left out.
	Request []byte
	// Trace is the traceparent of the run. SettledBy names the person who settled the record, and Reason their reason. Only the first 255
	// bytes of each are stored.
	Trace, SettledBy, Reason string
}

// The tags of attachments. Their numbers are stored.
const (
	tagRequest   = 1
	tagTrace     = 2
	tagSettledBy = 3
	tagReason    = 4
)

const (
	// MaxRequest bounds a request, in bytes.
	MaxRequest = 1 << 20
	// MaxText bounds each of the texts, in bytes.
	MaxText = 255

	tagSize    = 1
	lengthSize = 4
)

// Empty reports whether there are no attachments.
func (a *Attached) Empty() bool { return a.size() == 0 }

// size returns how many bytes the attachments take.
func (a *Attached) size() int {
	size := 0

	if kept := keptLength(len(a.Request)); kept > 0 {
		size += tagSize + lengthSize + kept
	}

	for _, text := range [...]string{a.Trace, a.SettledBy, a.Reason} {
		if text != "" {
			size += tagSize + lengthSize + min(len(text), MaxText)
		}
	}

	if size > 0 {
		size += lengthSize
	}

	return size
}

// keptLength returns how many bytes of a request are stored: all or none.
func keptLength(request int) int {
	if request > MaxRequest {
		return 0
	}

	return request
}

// appendTo appends the attachments.
func (a *Attached) appendTo(data []byte) []byte {
	if a.Empty() {
		return data
	}

	start := len(data)

	if kept := keptLength(len(a.Request)); kept > 0 {
		data = append(appendLength(append(data, tagRequest), kept), a.Request...)
	}

	for i, text := range [...]string{a.Trace, a.SettledBy, a.Reason} {
		if text = text[:min(len(text), MaxText)]; text != "" {
			data = append(appendLength(append(data, byte(tagTrace+i)), len(text)), text...)
		}
	}

	return appendLength(data, len(data)-start)
}

func appendLength(data []byte, length int) []byte {
	return binary.BigEndian.AppendUint32(data, uint32(length)) //nolint:gosec // bounded by MaxRequest
}

// detach moves the attachments from the end of the body to o. It reports whether they have the form that appendTo writes. The Request
// shares the memory of the body.
func (o *Stored) detach() bool {
	rest := len(o.Body) - lengthSize
	if rest < 0 {
		return false
	}

	length := binary.BigEndian.Uint32(o.Body[rest:])
	if length == 0 || uint64(length) > uint64(rest) {
		return false
	}

	tail := o.Body[rest-int(length) : rest]
	o.Body = o.Body[:rest-int(length)]

	for last := byte(0); len(tail) > 0; {
		tag, content, more, ok := cut(tail)
		if !ok || tag <= last || !o.take(tag, content) {
			return false
		}

		last, tail = tag, more
	}

	return true
}

// cut separates the first attachment from the others.
func cut(tail []byte) (tag byte, content, more []byte, ok bool) {
	const head = tagSize + lengthSize

	if len(tail) < head {
		return 0, nil, nil, false
	}

	length := binary.BigEndian.Uint32(tail[tagSize:])
	if length == 0 || uint64(length) > uint64(len(tail)-head) { //nolint:gosec // not negative
		return 0, nil, nil, false
	}

	end := head + int(length)

	return tail[0], tail[head:end:end], tail[end:], true
}

// take stores an attachment in a. It returns false if the attachment is invalid.
func (a *Attached) take(tag byte, content []byte) bool {
	if tag == tagRequest {
		a.Request = content

		return len(content) <= MaxRequest
	}

	if len(content) > MaxText {
		return false
	}

	switch tag {
	case tagTrace:
		a.Trace = string(content)
	case tagSettledBy:
		a.SettledBy = string(content)
	case tagReason:
		a.Reason = string(content)
	default:
		return false
	}

	return true
}
