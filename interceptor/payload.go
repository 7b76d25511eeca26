package interceptor

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/onlyonce-go/onlyonce"
)

// The recorded form of an outcome is the message onlyonce.v1.Outcome in proto/onlyonce/v1/record.proto. Every call uses it, so it is
// encoded and decoded by hand. A test compares it with the generated code.
const (
	fieldStatus   protowire.Number = 1
	fieldResponse protowire.Number = 2
	fieldHeader   protowire.Number = 3
	fieldTrailer  protowire.Number = 4

	fieldMetadataName  protowire.Number = 1
	fieldMetadataValue protowire.Number = 2
)

// payload is a recorded outcome.
type payload struct {
	status   []byte // a serialized google.rpc.Status; empty for OK
	response []byte // a serialized response, if status is empty
	header   metadata.MD
	trailer  metadata.MD
}

// FindingOf returns the finding that the effect of a call has happened. It is for a RecoverFunc and for onlyonce.Engine.Resolve. Duplicates
// of the call get resp, or err if it is not nil. An err without a gRPC status gets a code as in grpc-go: CANCELLED or DEADLINE_EXCEEDED for
// an error of a context, and otherwise UNKNOWN.
//
// Problem is not nil if the answer cannot be recorded: resp and err are both nil, err has the code OK, or the message cannot be encoded.
// The finding is then StillUnknown.
func FindingOf(resp proto.Message, err error) (found onlyonce.Finding, problem error) {
	var recorded *spb.Status

	code := okName

	if err != nil {
		st := statusOf(err)

		code = codeName(st.Code())
		if code == okName {
			return onlyonce.StillUnknown(), fmt.Errorf("interceptor: FindingOf: the error has the code OK: give a response instead: %w", err)
		}

		recorded = statusProto(st)
	} else if resp == nil {
		return onlyonce.StillUnknown(), errors.New("interceptor: FindingOf: give the response or the error that callers are to get")
	}

	body, problem := encodePayload(0, recorded, resp, nil, nil, nil)
	if problem != nil {
		return onlyonce.StillUnknown(), problem
	}

	return onlyonce.Happened(code, body), nil
}

// statusProto returns a status as its caller gets it. gRPC replaces each byte of a message that is not UTF-8.
func statusProto(st *status.Status) *spb.Status {
	msg := st.Proto()
	if !utf8.ValidString(msg.GetMessage()) {
		msg.Message = string([]rune(msg.GetMessage()))
	}

	return msg
}

// encodePayload encodes a status, or else a response, and the metadata that may be kept. The first room bytes of the result are free. A
// store may keep the result without a copy. So the result has no spare capacity, which the store would not count.
func encodePayload(
	room int, st *spb.Status, resp proto.Message, header, trailer metadata.MD, keep func(string) bool,
) ([]byte, error) {
	msg, field := resp, fieldResponse
	if st != nil {
		msg, field = st, fieldStatus
	}

	options := proto.MarshalOptions{UseCachedSize: true}
	size := proto.MarshalOptions{}.Size(msg)
	total := room + protowire.SizeTag(field) + protowire.SizeBytes(size) +
		sizeMetadata(fieldHeader, header, keep) + sizeMetadata(fieldTrailer, trailer, keep)
	buf := make([]byte, room, total)

	buf = protowire.AppendTag(buf, field, protowire.BytesType)
	buf = protowire.AppendVarint(buf, uint64(size)) //nolint:gosec // a size

	buf, err := options.MarshalAppend(buf, msg)
	if err != nil {
		return nil, fmt.Errorf("interceptor: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	buf = appendMetadata(buf, fieldHeader, header, keep)

	return appendMetadata(buf, fieldTrailer, trailer, keep), nil
}

// sizeMetadata returns how many bytes appendMetadata appends.
func sizeMetadata(field protowire.Number, md metadata.MD, keep func(string) bool) int {
	size := 0

	for name, values := range md {
		if !keep(name) {
			continue
		}

		for _, value := range values {
			size += protowire.SizeTag(field) + protowire.SizeBytes(sizePair(name, value))
		}
	}

	return size
}

func sizePair(name, value string) int {
	return protowire.SizeTag(fieldMetadataName) + protowire.SizeBytes(len(name)) +
		protowire.SizeTag(fieldMetadataValue) + protowire.SizeBytes(len(value))
}

func appendMetadata(buf []byte, field protowire.Number, md metadata.MD, keep func(string) bool) []byte {
	for name, values := range md {
		if !keep(name) {
			continue
		}

		for _, value := range values {
			buf = protowire.AppendTag(buf, field, protowire.BytesType)
			buf = protowire.AppendVarint(buf, uint64(sizePair(name, value))) //nolint:gosec // a size
			buf = protowire.AppendTag(buf, fieldMetadataName, protowire.BytesType)
			buf = protowire.AppendString(buf, name)
			buf = protowire.AppendTag(buf, fieldMetadataValue, protowire.BytesType)
			buf = protowire.AppendString(buf, value)
		}
	}

	return buf
}

var errPayload = errors.New("interceptor: a recorded outcome is damaged")

func decodePayload(data []byte) (payload, error) {
	out := payload{}

	err := eachField(data, func(number protowire.Number, value []byte) error {
		switch number { //nolint:exhaustive // other fields are those of a later version
		case fieldStatus:
			out.status = value
		case fieldResponse:
			out.response = value
		case fieldHeader:
			return decodeMetadata(&out.header, value)
		case fieldTrailer:
			return decodeMetadata(&out.trailer, value)
		}

		return nil
	})

	return out, err
}

func decodeMetadata(md *metadata.MD, data []byte) error {
	var name, value string

	err := eachField(data, func(number protowire.Number, part []byte) error {
		switch number { //nolint:exhaustive // as above
		case fieldMetadataName:
			name = string(part)
		case fieldMetadataValue:
			value = string(part)
		}

		return nil
	})
	if err != nil {
		return err
	}

	if !sendable(name) || reserved(name) {
		return errPayload // such metadata is never stored
	}

	if *md == nil {
		*md = metadata.MD{}
	}

	(*md)[name] = append((*md)[name], value)

	return nil
}

// eachField visits the length-delimited fields of a message, and skips the others.
func eachField(data []byte, visit func(protowire.Number, []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errPayload
		}

		data = data[n:]

		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return errPayload
			}

			data = data[n:]

			continue
		}

		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return errPayload
		}

		data = data[n:]

		if err := visit(number, value); err != nil {
			return err
		}
	}

	return nil
}

// replayedStatus returns the recorded error.
func (p *payload) replayedStatus() (*status.Status, error) {
	var st spb.Status
	if err := proto.Unmarshal(p.status, &st); err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}

	if st.GetCode() == 0 {
		return nil, fmt.Errorf("%w: an error has the code OK", errPayload)
	}

	return status.FromProto(&st), nil
}
