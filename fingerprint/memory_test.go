//go:build !race

// The race detector allocates, too.

package fingerprint_test

import (
	"bytes"
	"math"
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// A fingerprint allocates at most timesSize bytes for each byte of the encoding. protobuf's encoder of maps alone takes
// eight. The constant covers small buffers, and goroutines of the test program.
const (
	timesSize = 12
	constant  = 64 << 10
)

// allocatedBytes returns the bytes that a call allocates, live or not: an upper bound of its peak.
func allocatedBytes(call func()) int {
	least := uint64(math.MaxUint64)

	for range 3 {
		var before, after runtime.MemStats

		runtime.ReadMemStats(&before)
		call()
		runtime.ReadMemStats(&after)

		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}

	return int(least)
}

// bounded fails if the fingerprint of a message allocates too many bytes.
func bounded(t *testing.T, msg proto.Message) {
	t.Helper()

	size := proto.Size(msg)
	allocated := allocatedBytes(func() { _, _ = fingerprint.Of(msg) })

	if allocated > timesSize*size+constant {
		t.Errorf("%d bytes are allocated for an encoding of %d: %.1f times as much, and %d times is the limit",
			allocated, size, float64(allocated)/float64(size), timesSize)
	}
}

// numbered is a wire encoding of count pieces, each made from its index.
func numbered(count int, piece func(i int) []byte) []byte {
	var all []byte //nolint:prealloc // pieces have different sizes
	for i := range count {
		all = append(all, piece(i)...)
	}

	return all
}

// F85: a request of 4 MiB made its fingerprint allocate 300 MB, and a nested one 700 MB.
func TestF85AllocationsAreASmallMultipleOfAHostileRequest(t *testing.T) {
	const size = 256 << 10

	alternating := bytes.Repeat(fields(varint(9, 1), varint(8, 1)), (size-4<<10)/4)

	for name, hostile := range map[string]struct {
		msg  proto.Message
		wire []byte
	}{
		"alternating unknown fields": {new(vectors.Narrow), alternating},
		"descending unknown fields": {new(vectors.Narrow), numbered(size/6, func(i int) []byte {
			return varint(protowire.Number(1<<28-i), 1)
		})},
		"out of order at every level": {new(vectors.Branch), repeat(99, alternating, func(b []byte) []byte {
			return fields(message(2, b), fixed32(1, 1))
		})},
		"groups out of order at every level": {new(vectors.Narrow), repeat(99, alternating, func(b []byte) []byte {
			return fields(group(1000, b), varint(1, 1))
		})},
		"many messages out of order": {new(vectors.Branch), bytes.Repeat(message(2, varint(9, 1), varint(8, 1)), size/6)},
		"maps in maps": {new(vectors.Branch), repeat(99, numbered(size/16, func(i int) []byte {
			return message(3, varint(1, uint64(i)))
		}), func(b []byte) []byte { return message(3, message(2, b)) })},
		"map of numbers":      {new(vectors.Everything), numbered(size/7, func(i int) []byte { return message(83, varint(1, uint64(i))) })},
		"map of texts":        {new(vectors.Everything), numbered(size/11, func(i int) []byte { return message(92, text(1, strconv.Itoa(i))) })},
		"map of messages":     {new(vectors.Everything), numbered(size/11, func(i int) []byte { return message(93, text(1, strconv.Itoa(i))) })},
		"empty messages":      {new(vectors.Everything), bytes.Repeat(message(57), size/3)},
		"numbers one by one":  {new(vectors.Legacy), bytes.Repeat(varint(4, 1), size/2)},
		"numbers in a packet": {new(vectors.Legacy), message(4, make([]byte, size))},
		"numbers in both ways": {new(vectors.Legacy), bytes.Repeat(fields(
			varint(4, 1), message(4, make([]byte, 99)), varint(5, 1), message(5, make([]byte, 99))), 100)},
		"lists of one number": {new(vectors.Legacy), bytes.Repeat(group(9, varint(2, 1)), size/5)},
		"groups":              {new(vectors.Legacy), bytes.Repeat(group(9, varint(9, 1), varint(8, 1)), size/6)},
		"text":                {new(vectors.Everything), text(14, string(make([]byte, size)))},
		"Any in Any":          {new(vectors.Everything), bytes.Repeat(message(106, text(2, "x"), varint(4, 1), varint(3, 1)), size/11)},
	} {
		t.Run(name, func(t *testing.T) {
			bounded(t, parse(t, hostile.wire, hostile.msg))
		})
	}
}

func FuzzAllocationsAreASmallMultipleOfTheRequest(f *testing.F) {
	f.Add([]byte{0}, uint16(1), uint8(0), uint8(0))
	f.Add(fields(varint(9, 1), varint(8, 1)), uint16(10_000), uint8(0), uint8(0))                                // unknown fields
	f.Add(fields(varint(9, 1), varint(8, 1)), uint16(10_000), uint8(97), uint8(0))                               // deep in messages
	f.Add(fields(varint(9, 1), varint(8, 1)), uint16(10_000), uint8(97), uint8(1))                               // deep in groups
	f.Add(message(106, text(1, "x"), message(2, text(2, "x"), text(1, "y"))), uint16(5_000), uint8(0), uint8(0)) // Any in Any
	f.Add(message(101, varint(4, 1), varint(3, 1)), uint16(5_000), uint8(50), uint8(1))                          // one Any in pieces
	f.Add(numbered(500, func(i int) []byte { return message(92, text(1, strconv.Itoa(i))) }), uint16(20), uint8(0), uint8(0))
	f.Add(numbered(500, func(i int) []byte { return message(3, varint(1, uint64(i))) }), uint16(1), uint8(60), uint8(2))
	f.Add(message(94, text(1, "k"), message(2, varint(9, 1), varint(8, 1))), uint16(5_000), uint8(0), uint8(0))
	f.Add(fields(varint(4, 1), message(4, []byte{1, 2}), message(5, []byte{1, 2}), varint(5, 1)), uint16(300), uint8(0), uint8(0))
	f.Add(group(9, varint(9, 1), varint(8, 1), varint(2, 1)), uint16(5_000), uint8(0), uint8(0))

	f.Fuzz(func(t *testing.T, piece []byte, times uint16, depth, wrapping uint8) {
		const most = 32 << 10

		wrap := []func([]byte) []byte{
			func(b []byte) []byte { return fields(message(2, b), fixed32(1, 1)) },
			func(b []byte) []byte { return fields(group(1000, b), varint(1, 1)) },
			func(b []byte) []byte { return fields(message(3, message(2, b)), fixed32(1, 1)) },
		}[wrapping%3]
		wire := repeat(int(depth)%fingerprint.MaxDepth, bytes.Repeat(piece, min(int(times), most/max(len(piece), 1))), wrap)

		for _, kind := range kinds[1:] {
			msg := kind()
			if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, msg) == nil {
				bounded(t, msg)
			}
		}
	})
}
