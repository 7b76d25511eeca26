package fingerprint

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var errText = errors.New("a string is not valid UTF-8: send text as UTF-8, or declare the field as bytes")

// encode appends an encoding of a message to w.encoded. The canonical form is made of the encoding. So its fields may be in any order, and
// fields that do not count may be left out.
func (w *work) encode(m protoreflect.Message, p *plan, depth int) error {
	e := encoderOf(m)

	switch {
	case e == byReflection:
		return w.reflect(m, p, depth)
	case e == byItself && deeper(m, depth):
		return ErrTooDeep
	default:
		return w.marshal(m)
	}
}

func (w *work) marshal(m protoreflect.Message) (err error) {
	w.encoded, err = proto.MarshalOptions{Deterministic: true, AllowPartial: true}.MarshalAppend(w.encoded, m.Interface())

	return err //nolint:wrapcheck // wrapped by the callers
}

// reflect encodes a message field by field. Each field is visited once, and no content is moved.
func (w *work) reflect(m protoreflect.Message, p *plan, depth int) (err error) {
	if depth > MaxDepth {
		return ErrTooDeep
	}

	fields := m.Descriptor().Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)

		f := p.numbered(fd.Number())
		if f.treatment == dropped || !m.Has(fd) {
			continue
		}

		if err := w.encodeField(fd, m.Get(fd), f, depth); err != nil {
			return err
		}
	}

	if m.Descriptor().ExtensionRanges().Len() > 0 {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.IsExtension() {
				err = w.encodeExtension(m, fd, v, depth)
			}

			return err == nil
		})
	}

	w.encoded = append(w.encoded, m.GetUnknown()...)

	return err
}

func (w *work) encodeField(fd protoreflect.FieldDescriptor, v protoreflect.Value, f *field, depth int) (err error) {
	switch {
	case fd.IsMap():
		v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			at := w.open(fd.Number())
			err = w.encodeValue(fd.MapKey(), key.Value(), nil, depth)

			if err == nil {
				err = w.encodeValue(fd.MapValue(), value, f.message, depth)
			}

			w.end(at)

			return err == nil
		})

		return err
	case f.treatment == packed:
		at := w.open(fd.Number())

		for i := range v.List().Len() {
			w.encoded = appendNumber(w.encoded, fd.Kind(), v.List().Get(i))
		}

		w.end(at)

		return nil
	case fd.IsList():
		for i := range v.List().Len() {
			if err := w.encodeValue(fd, v.List().Get(i), f.message, depth); err != nil {
				return err
			}
		}

		return nil
	default:
		return w.encodeValue(fd, v, f.message, depth)
	}
}

// encodeValue encodes one value with its tag. P is the plan of the value if it is a message.
func (w *work) encodeValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, p *plan, depth int) error {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		at := w.open(fd.Number())
		err := w.encode(v.Message(), p, depth+1)
		w.end(at)

		return err
	case protoreflect.GroupKind:
		w.encoded = protowire.AppendTag(w.encoded, fd.Number(), protowire.StartGroupType)
		err := w.encode(v.Message(), p, depth+1)
		w.encoded = protowire.AppendTag(w.encoded, fd.Number(), protowire.EndGroupType)

		return err
	case protoreflect.StringKind:
		if mustBeUTF8(fd) && !utf8.ValidString(v.String()) {
			return fmt.Errorf("field %s: %w", fd.FullName(), errText)
		}

		w.encoded = protowire.AppendString(protowire.AppendTag(w.encoded, fd.Number(), protowire.BytesType), v.String())
	case protoreflect.BytesKind:
		w.encoded = protowire.AppendBytes(protowire.AppendTag(w.encoded, fd.Number(), protowire.BytesType), v.Bytes())
	default:
		w.encoded = appendNumber(protowire.AppendTag(w.encoded, fd.Number(), wireType(fd.Kind())), fd.Kind(), v)
	}

	return nil
}

// encodeExtension encodes an extension that the program knows. The bytes of package proto count as they are.
func (w *work) encodeExtension(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	if fieldDeeper(fd, v, depth+1) {
		return ErrTooDeep
	}

	alone := m.New()
	alone.Set(fd, v)

	return w.marshal(alone)
}

const lengthSize = 5 // bytes of a length that is written later: a varint that is not the shortest

// open begins a field whose length is not known yet, and returns the start of its content.
func (w *work) open(number protowire.Number) int {
	w.encoded = protowire.AppendTag(w.encoded, number, protowire.BytesType)
	w.encoded = append(w.encoded, make([]byte, lengthSize)...)

	return len(w.encoded)
}

// end writes the length of a field in front of its content, which begins at a place. The content is not moved.
func (w *work) end(at int) {
	const (
		more  = 0x80
		width = 7
	)

	length := len(w.encoded) - at

	for i := at - lengthSize; i < at-1; i++ {
		w.encoded[i] = byte(length) | more //nolint:gosec // the low bits
		length >>= width
	}

	w.encoded[at-1] = byte(length) //nolint:gosec // the last bits
}

// deeper reports whether a message at a depth contains messages beyond MaxDepth.
func deeper(m protoreflect.Message, depth int) (yes bool) {
	if depth > MaxDepth {
		return true
	}

	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		yes = fieldDeeper(fd, v, depth+1)

		return !yes
	})

	return yes
}

// fieldDeeper is like deeper, for the value of a field.
func fieldDeeper(fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) (yes bool) {
	switch {
	case fd.IsMap() && fd.MapValue().Message() != nil:
		v.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool {
			yes = deeper(value.Message(), depth)

			return !yes
		})
	case fd.IsMap() || fd.Message() == nil:
	case fd.IsList():
		for i := 0; i < v.List().Len() && !yes; i++ {
			yes = deeper(v.List().Get(i).Message(), depth)
		}
	default:
		yes = deeper(v.Message(), depth)
	}

	return yes
}

// mustBeUTF8 reports whether package proto refuses strings in a field that are not UTF-8.
func mustBeUTF8(fd protoreflect.FieldDescriptor) bool {
	if declared, ok := fd.(interface{ EnforceUTF8() bool }); ok && fd.Syntax() == protoreflect.Editions {
		return declared.EnforceUTF8()
	}

	return fd.Syntax() == protoreflect.Proto3
}

// appendNumber appends a number, a bool or an enum, without a tag.
//
//nolint:gosec // the conversions are those of the encoding
func appendNumber(b []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.BoolKind:
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		return protowire.AppendVarint(b, uint64(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return protowire.AppendVarint(b, uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(v.Int()))
	case protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Int()))
	case protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(b, uint64(v.Int()))
	case protoreflect.Fixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Uint()))
	case protoreflect.Fixed64Kind:
		return protowire.AppendFixed64(b, v.Uint())
	case protoreflect.FloatKind:
		return protowire.AppendFixed32(b, math.Float32bits(float32(v.Float())))
	case protoreflect.DoubleKind:
		return protowire.AppendFixed64(b, math.Float64bits(v.Float()))
	default:
		return protowire.AppendVarint(b, v.Uint())
	}
}
