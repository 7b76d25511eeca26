package fingerprint

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// encoder is how a message is encoded. Package proto needs time that is linear in the size of a message only if all Go types in the message
// cache their sizes. It moves the content of a message made at run time once for each level. It computes the size of a message of an old
// type, which does not cache sizes, once for each level above. A hostile request has thousands of levels.
type encoder uint8

const (
	byProto      encoder = iota + 1 // package proto, in linear time
	byItself                        // its own Marshal method, whose time is unknown: its depth is checked first
	byReflection                    // field by field
)

// encoders has the results of encoderOf: protoreflect.MessageType to encoder.
var encoders sync.Map //nolint:gochecknoglobals // a cache of facts about Go types

// encoderOf returns how a message is encoded. It depends on the Go type alone.
func encoderOf(m protoreflect.Message) encoder {
	if m.ProtoMethods() == nil {
		return byReflection
	}

	t := m.Type()
	if known, ok := encoders.Load(t); ok {
		return known.(encoder) //nolint:forcetypeassert,errcheck // nothing else is stored
	}

	e := ownEncoder(m)
	if e == byProto && !allByProto(t.New(), make(map[protoreflect.FullName]bool)) {
		e = byReflection
	}

	encoders.Store(t, e)

	return e
}

// ownEncoder is encoderOf without the messages within.
func ownEncoder(m protoreflect.Message) encoder {
	if m.ProtoMethods() == nil {
		return byReflection
	}

	msg := protoadapt.MessageV1Of(m.Interface()) // without the wrapper of old messages
	_, modern := msg.(proto.Message)
	_, encodesItself := msg.(interface{ Marshal() ([]byte, error) })

	switch {
	case (modern || !encodesItself) && keepsSize(reflect.TypeOf(msg)):
		return byProto
	case !contains(m.Descriptor(), m.Descriptor().FullName(), make(map[protoreflect.FullName]bool)):
		return byProto // the type bounds the depth
	case modern || !encodesItself:
		return byReflection
	default:
		return byItself
	}
}

// keepsSize reports whether a Go type has a field for the size of a message. Generators have written it since 2018.
func keepsSize(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}

	for _, name := range []string{"sizeCache", "XXX_sizecache"} {
		if f, ok := t.Elem().FieldByName(name); ok && f.Type == reflect.TypeFor[protoimpl.SizeCache]() {
			return true
		}
	}

	return false
}

// contains reports whether messages of a type can contain messages of the named type.
func contains(in protoreflect.MessageDescriptor, name protoreflect.FullName, seen map[protoreflect.FullName]bool) bool {
	for i := range in.Fields().Len() {
		inner := in.Fields().Get(i).Message()
		if inner == nil || seen[inner.FullName()] {
			continue
		}

		seen[inner.FullName()] = true

		if inner.FullName() == name || contains(inner, name, seen) {
			return true
		}
	}

	return false
}

// allByProto reports whether package proto encodes all messages within a message, also in extensions that the program knows.
func allByProto(m protoreflect.Message, seen map[protoreflect.FullName]bool) bool {
	name := m.Descriptor().FullName()
	seen[name] = true
	all := true

	look := func(fd protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if inner := messageIn(fd, value); inner != nil && !seen[inner.Descriptor().FullName()] {
			all = ownEncoder(inner) == byProto && allByProto(inner, seen)
		}

		return all
	}

	for i := 0; i < m.Descriptor().Fields().Len() && all; i++ {
		if fd := m.Descriptor().Fields().Get(i); fd.Message() != nil {
			look(fd, m.NewField(fd))
		}
	}

	if all {
		protoregistry.GlobalTypes.RangeExtensionsByMessage(name, func(known protoreflect.ExtensionType) bool {
			return look(known.TypeDescriptor(), known.New())
		})
	}

	return all
}

// messageIn returns an empty message of a field's type, or nil. The value belongs to an empty field.
func messageIn(fd protoreflect.FieldDescriptor, value protoreflect.Value) protoreflect.Message {
	switch {
	case fd.IsMap() && fd.MapValue().Message() != nil:
		return value.Map().NewValue().Message()
	case fd.IsMap() || fd.Message() == nil:
		return nil
	case fd.IsList():
		return value.List().NewElement().Message()
	default:
		return value.Message()
	}
}
