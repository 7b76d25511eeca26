package interceptor

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Code generated before 2020 has messages without ProtoReflect. Package protoadapt wraps them, so that package proto can read them. The
// wrapper panics on types that it does not know, such as the custom types of gogo/protobuf.

// asMessage returns a message that package proto can read, in the wrapper if it needs one. The second result is false if the value is no
// message, or cannot be wrapped.
func asMessage(msg any) (proto.Message, bool) {
	switch m := msg.(type) {
	case proto.Message:
		return m, true
	case protoadapt.MessageV1:
		if wrapperProblem(reflect.TypeOf(m)) != nil {
			return nil, false
		}

		return protoadapt.MessageV2Of(m), true
	default:
		return nil, false
	}
}

// asGo returns a message without its wrapper, if it has one.
func asGo(msg proto.Message) any {
	if _, whole := msg.(protoadapt.MessageV1); whole {
		return msg
	}

	wrapped := protoadapt.MessageV1Of(msg)
	if reflect.TypeOf(wrapped).Kind() != reflect.Pointer {
		return msg // it has ProtoReflect and no wrapper
	}

	return wrapped
}

// wrapperProblems caches the results of wrapperProblem. The wrapper is slow for the first message of a type, and fast for later ones.
var wrapperProblems sync.Map //nolint:gochecknoglobals // a cache without state

// wrapperProblem returns why the wrapper cannot wrap messages of a Go type, or nil.
func wrapperProblem(t reflect.Type) error {
	if known, ok := wrapperProblems.Load(t); ok {
		problem, _ := known.(error)

		return problem
	}

	problem := tryWrapper(t)
	wrapperProblems.Store(t, problem)

	return problem
}

// tryWrapper reads all fields of an empty message, also the nested ones, because the wrapper panics only when a field is read.
func tryWrapper(t reflect.Type) error {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%v is not a pointer to a struct", t)
	}

	return withoutPanic(func() error {
		empty, _ := reflect.TypeAssert[protoadapt.MessageV1](reflect.New(t.Elem()))
		wrapped := protoadapt.MessageV2Of(empty)

		useFields(wrapped.ProtoReflect(), make(map[protoreflect.FullName]bool))

		data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(wrapped)
		if err != nil {
			return err
		}

		return proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(data, proto.Clone(wrapped))
	})
}

// useFields reads each field of a message, and of the messages within, once for each type.
func useFields(msg protoreflect.Message, seen map[protoreflect.FullName]bool) {
	seen[msg.Descriptor().FullName()] = true
	fields := msg.Descriptor().Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)
		msg.Has(fd)

		inner := fd.Message()
		if fd.IsMap() {
			inner = fd.MapValue().Message()
		}

		if inner == nil || seen[inner.FullName()] {
			continue
		}

		switch value := msg.NewField(fd); {
		case fd.IsMap():
			useFields(value.Map().NewValue().Message(), seen)
		case fd.IsList():
			useFields(value.List().NewElement().Message(), seen)
		default:
			useFields(value.Message(), seen)
		}
	}
}

// typeProblem returns why messages of a registered type cannot be recorded, or nil.
func typeProblem(message protoreflect.MessageType) error {
	return withoutPanic(func() error {
		msg := asGo(message.New().Interface())
		if _, ok := asMessage(msg); ok {
			return nil
		}

		return fmt.Errorf("%T has no ProtoReflect and cannot be wrapped: %w", msg, wrapperProblem(reflect.TypeOf(msg)))
	})
}

// withoutPanic returns a panic of f as an error. Methods of messages may be written by hand, and may panic.
func withoutPanic(f func() error) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("it panics: %v", problem)
		}
	}()

	return f()
}
