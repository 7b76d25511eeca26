package interceptor

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
)

// A replay has ReplayedHeader and ExecutedAtTrailer, which the first answer did not have. The first answer with an error has two blocks of
// metadata if its handler set a header, and its replay has one block. If a block exceeds the client's limit, the call fails with INTERNAL.
// So a replay must not exceed a limit that the first answer did not exceed. Sizes are those of
// https://www.rfc-editor.org/rfc/rfc9113#section-10.5.1: name, value and 32 bytes for each field.

const (
	fieldOverhead = 32
	// smallBlock is accepted by every client. gRPC implementations have limits of 8 KiB and more; proxies have buffers of 4 KiB and more.
	smallBlock = 4 << 10
	// limitUnit is the unit of limits: every limit is a multiple of it.
	limitUnit = 1 << 10
)

// replayed is a recorded outcome with the metadata of its replay.
type replayed struct {
	status          *status.Status // nil for a response
	header, trailer metadata.MD    // recorded
	retention       metadata.MD    // has RetentionTrailer; nil: none
	executedAt      string
}

// withResponse returns the header and the trailer of a replayed response. All recorded metadata and StatusTrailer always arrive. If all
// metadata would exceed the limit, it leaves these out: ReplayedHeader of the header; RetentionTrailer, ExecutedAtTrailer and
// ReplayedHeader of the trailer, in this order.
func (r *replayed) withResponse() (header, trailer metadata.MD) {
	first := newBlock(r.limit()-sizeOfOpening(), len(r.header)+1)
	first.addAll(r.header)
	first.add(ReplayedHeader, []string{"true"})

	last := newBlock(r.limit()-sizeOfStatus(nil), len(r.trailer)+ownFields)
	last.add(StatusTrailer, []string{string(onlyonce.StatusReplayed)})
	last.addAll(r.trailer)
	r.addOwn(&last)

	return first.made, last.made
}

// mayBeWithResponse reports whether the header of a replay may belong to a response: it has ReplayedHeader, or it is so large that
// ReplayedHeader may have been left out.
func mayBeWithResponse(header metadata.MD) bool {
	return len(header.Get(ReplayedHeader)) > 0 || sizeOfOpening()+sizeOf(header)+sizeOfField(ReplayedHeader, "true") > smallBlock
}

// withError returns the trailer of a replayed error. If all metadata would exceed the limit, it leaves these out, in this order: the
// recorded header, the recorded trailer, RetentionTrailer, ExecutedAtTrailer and ReplayedHeader. The code, the message, the details and
// StatusTrailer always arrive.
//
// Split is true if even these exceed the limit in one block. They fit if the call also sends a header, as the first answer did.
func (r *replayed) withError() (trailer metadata.MD, split bool) {
	room := r.limit() - sizeOfStatus(r.status)

	if trailer, ok := r.fill(room - sizeOfOpening()); ok {
		return trailer, false
	}

	trailer, _ = r.fill(room)

	return trailer, true
}

// limit returns the smallest limit of a client that has received the first answer.
func (r *replayed) limit() int {
	return max((r.largest()+limitUnit-1)/limitUnit*limitUnit, smallBlock)
}

// largest returns the size of the largest block of the first answer.
func (r *replayed) largest() int {
	last := sizeOfStatus(r.status) + sizeOf(r.trailer) + sizeOf(r.retention) + sizeOfField(StatusTrailer, string(onlyonce.StatusExecuted))

	if r.status != nil && len(r.header) == 0 {
		return sizeOfOpening() + last
	}

	return max(sizeOfOpening()+sizeOf(r.header), last)
}

// fill returns the part of an error's trailer that fits into room bytes, the most important metadata first. It fails if the status does not
// fit.
func (r *replayed) fill(room int) (metadata.MD, bool) {
	b := newBlock(room, len(r.header)+len(r.trailer)+ownFields)

	if !b.add(StatusTrailer, []string{string(onlyonce.StatusReplayed)}) {
		return nil, false
	}

	r.addOwn(&b)

	if b.addAll(r.trailer) {
		b.addAll(r.header)
	}

	return b.made, true
}

// ownFields is the number of names that addOwn and StatusTrailer add to a trailer.
const ownFields = 4

// addOwn adds the metadata of the contract that a replay may leave out, the most important first.
func (r *replayed) addOwn(b *block) {
	b.add(ReplayedHeader, []string{"true"})

	if r.executedAt != "" {
		b.add(ExecutedAtTrailer, []string{r.executedAt})
	}

	b.addAll(r.retention)
}

// block is a block of metadata that is being filled.
type block struct {
	made metadata.MD
	room int // in bytes
}

func newBlock(room, names int) block { return block{make(metadata.MD, names), room} }

// add adds the values of a name, in front of the values that the name has already. It fails if they do not fit.
func (b *block) add(name string, values []string) bool {
	size := 0
	for _, value := range values {
		size += sizeOfField(name, value)
	}

	if size > b.room {
		return false
	}

	b.room -= size
	b.made[name] = append(slices.Clip(values), b.made[name]...)

	return true
}

// addAll adds the metadata that fits, sorted by name. It reports whether all of it fits.
func (b *block) addAll(md metadata.MD) bool {
	whole := true
	for _, name := range slices.Sorted(maps.Keys(md)) {
		whole = b.add(name, md[name]) && whole
	}

	return whole
}

// sizeOfOpening returns the size of the fields at the start of every answer.
func sizeOfOpening() int {
	return sizeOfField(":status", "200") + sizeOfField("content-type", "application/grpc")
}

// sizeOfStatus returns the size of the fields that carry a status.
func sizeOfStatus(st *status.Status) int {
	size := sizeOfField("grpc-status", strconv.Itoa(int(st.Code()))) + sizeOfField("grpc-message", "") + encodedLen(st.Message())

	if msg := st.Proto(); len(msg.GetDetails()) > 0 {
		size += sizeOfField("grpc-status-details-bin", "") + base64.RawStdEncoding.EncodedLen(proto.Size(msg))
	}

	return size
}

// encodedLen returns the length of a message as gRPC writes it. A byte that is not printable ASCII, or is %, takes three characters.
func encodedLen(message string) int {
	length := len(message)

	for i := range len(message) {
		if c := message[i]; c < ' ' || c > '~' || c == '%' {
			length += 2
		}
	}

	return length
}

func sizeOf(md metadata.MD) int {
	size := 0

	for name, values := range md {
		for _, value := range values {
			size += sizeOfField(name, value)
		}
	}

	return size
}

func sizeOfField(name, value string) int {
	length := len(value)
	if strings.HasSuffix(name, "-bin") {
		length = base64.RawStdEncoding.EncodedLen(length)
	}

	return len(name) + length + fieldOverhead
}
