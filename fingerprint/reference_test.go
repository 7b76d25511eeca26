package fingerprint_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// This file implements docs/fingerprint.md a second time: slowly, and without code of the first implementation. It
// walks messages by reflection and never reads the encoding of a known field. It does not cover signalling NaNs,
// because reflection quiets them.

// Types of values on the wire.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireStart   = 3
	wireEnd     = 4
	wireFixed32 = 5
)

var errReferenceTooDeep = errors.New("too deep")

// piece is the canonical form of one field, or of one occurrence of it.
type piece struct {
	number int
	data   []byte
}

func joined(pieces []piece) []byte {
	slices.SortStableFunc(pieces, func(a, b piece) int { return a.number - b.number })

	var all []byte
	for _, p := range pieces {
		all = append(all, p.data...)
	}

	return all
}

// reference is the canonical form of a request.
func reference(msg proto.Message) ([]byte, error) {
	return referenceMessage(msg.ProtoReflect(), 1)
}

func counts(fd protoreflect.FieldDescriptor, depth int) bool {
	said, _ := proto.GetExtension(fd.Options(), onlyoncev1.E_Field).(*onlyoncev1.Field)

	return !said.GetIgnored() && (!said.GetKey() || depth > 1)
}

func referenceMessage(msg protoreflect.Message, depth int) ([]byte, error) {
	if depth > 100 {
		return nil, errReferenceTooDeep
	}

	var pieces []piece

	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !msg.Has(fd) || !counts(fd, depth) {
			continue
		}

		data, err := referenceField(fd, msg.Get(fd), depth)
		if err != nil {
			return nil, err
		}

		pieces = append(pieces, piece{int(fd.Number()), data})
	}

	unknown, err := referenceExtensions(msg)
	if err != nil {
		return nil, err
	}

	others, _, err := referenceUnknown(append(unknown, msg.GetUnknown()...), 0, depth)
	if err != nil {
		return nil, err
	}

	for _, p := range others {
		if fd := fields.ByNumber(protoreflect.FieldNumber(p.number)); fd == nil || counts(fd, depth) {
			pieces = append(pieces, p)
		}
	}

	return joined(pieces), nil
}

// referenceExtensions is the encoding of the extensions that are known, as if they were not.
func referenceExtensions(msg protoreflect.Message) ([]byte, error) {
	alone := msg.New()

	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsExtension() {
			alone.Set(fd, v)
		}

		return true
	})

	return proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(alone.Interface())
}

func referenceField(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) (data []byte, err error) {
	switch {
	case fd.IsMap():
		return referenceMap(fd, v.Map(), depth)
	case !fd.IsList():
		return referenceValue(nil, fd, v, depth)
	}

	kind := fd.Kind()
	separate := kind == protoreflect.StringKind || kind == protoreflect.BytesKind || fd.Message() != nil

	for i := range v.List().Len() {
		if separate {
			data, err = referenceValue(data, fd, v.List().Get(i), depth)
		} else {
			data = append(data, scalar(kind, v.List().Get(i))...)
		}

		if err != nil {
			return nil, err
		}
	}

	if separate || len(data) == 0 {
		return data, nil
	}

	return append(tagged(fd.Number(), wireBytes, uint64(len(data))), data...), nil
}

// tagged is a tag and a number behind it.
func tagged(number protoreflect.FieldNumber, wire int, n uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|uint64(wire)), n)
}

// referenceValue appends one value, with its tag.
func referenceValue(data []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) ([]byte, error) {
	number := uint64(fd.Number()) << 3

	if fd.Message() == nil {
		data = binary.AppendUvarint(data, number|uint64(wireOf(fd.Kind())))

		return append(data, scalar(fd.Kind(), v)...), nil
	}

	content, err := referenceMessage(v.Message(), depth+1)
	if err != nil {
		return nil, err
	}

	if fd.Kind() == protoreflect.GroupKind {
		data = append(binary.AppendUvarint(data, number|wireStart), content...)

		return binary.AppendUvarint(data, number|wireEnd), nil
	}

	return append(append(data, tagged(fd.Number(), wireBytes, uint64(len(content)))...), content...), nil
}

func referenceMap(fd protoreflect.FieldDescriptor, entries protoreflect.Map, depth int) (data []byte, err error) {
	var keys []protoreflect.MapKey

	entries.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)

		return true
	})

	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		if less(a, b) {
			return -1
		}

		return 1
	})

	for _, k := range keys {
		entry, err := referenceValue(nil, fd.MapKey(), k.Value(), depth)
		if err != nil {
			return nil, err
		}

		entry, err = referenceValue(entry, fd.MapValue(), entries.Get(k), depth)
		if err != nil {
			return nil, err
		}

		data = append(append(data, tagged(fd.Number(), wireBytes, uint64(len(entry)))...), entry...)
	}

	return data, nil
}

func less(a, b protoreflect.MapKey) bool {
	switch a.Interface().(type) {
	case bool:
		return !a.Bool() && b.Bool()
	case string:
		return a.String() < b.String()
	case int32, int64:
		return a.Int() < b.Int()
	default:
		return a.Uint() < b.Uint()
	}
}

func wireOf(kind protoreflect.Kind) int {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return wireBytes
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return wireFixed64
	case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return wireFixed32
	default:
		return wireVarint
	}
}

// scalar is a value without its tag; texts and bytes with their length.
func scalar(kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.BoolKind:
		if v.Bool() {
			return []byte{1}
		}

		return []byte{0}
	case protoreflect.EnumKind:
		return binary.AppendUvarint(nil, uint64(int64(v.Enum())))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return binary.AppendUvarint(nil, uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return binary.AppendVarint(nil, v.Int())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return binary.AppendUvarint(nil, v.Uint())
	case protoreflect.Fixed32Kind:
		return binary.LittleEndian.AppendUint32(nil, uint32(v.Uint()))
	case protoreflect.Sfixed32Kind:
		return binary.LittleEndian.AppendUint32(nil, uint32(v.Int()))
	case protoreflect.FloatKind:
		return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v.Float())))
	case protoreflect.Fixed64Kind:
		return binary.LittleEndian.AppendUint64(nil, v.Uint())
	case protoreflect.Sfixed64Kind:
		return binary.LittleEndian.AppendUint64(nil, uint64(v.Int()))
	case protoreflect.DoubleKind:
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v.Float()))
	case protoreflect.StringKind:
		return append(binary.AppendUvarint(nil, uint64(len(v.String()))), v.String()...)
	case protoreflect.BytesKind:
		return append(binary.AppendUvarint(nil, uint64(len(v.Bytes()))), v.Bytes()...)
	default:
		panic(kind)
	}
}

// referenceUnknown parses unknown fields, up to the end of the group if there is one.
func referenceUnknown(data []byte, group uint64, depth int) (pieces []piece, rest []byte, err error) {
	if depth > 100 {
		return nil, nil, errReferenceTooDeep
	}

	varint := func() uint64 {
		n, size := binary.Uvarint(data)
		if size <= 0 {
			err, size = errors.New("no varint"), len(data)
		}

		data = data[size:]

		return n
	}

	take := func(n uint64) []byte {
		if n > uint64(len(data)) {
			err, n = errors.New("short"), 0
		}

		var taken []byte
		taken, data = data[:n], data[n:]

		return taken
	}

	for len(data) > 0 {
		tag := varint()
		number := tag >> 3
		p := piece{int(number), binary.AppendUvarint(nil, tag)}

		switch tag & 7 {
		case wireVarint:
			p.data = binary.AppendUvarint(p.data, varint())
		case wireFixed64:
			p.data = append(p.data, take(8)...)
		case wireFixed32:
			p.data = append(p.data, take(4)...)
		case wireBytes:
			size := varint()
			p.data = append(binary.AppendUvarint(p.data, size), take(size)...)
		case wireStart:
			var content []piece

			content, data, err = referenceUnknown(data, number, depth+1)
			p.data = binary.AppendUvarint(append(p.data, joined(content)...), number<<3|wireEnd)
		case wireEnd:
			if number != group {
				return nil, nil, errors.New("another group ends")
			}

			return pieces, data, nil
		}

		if err != nil {
			return nil, nil, err
		}

		pieces = append(pieces, p)
	}

	if group != 0 {
		return nil, nil, errors.New("a group without an end")
	}

	return pieces, nil, nil
}
