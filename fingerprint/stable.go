package fingerprint

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce/store"
)

// builds is how often Stable builds a request. With a map of two entries, one of 2^31 tests gets the same order every time.
const builds = 32

// Stable is a check for tests. It calls build 32 times, and returns an error if the requests have different fingerprints. A client that
// builds its request again for a retry, for example after a restart, must build an equal request. Otherwise the retry is rejected with
// IDEMPOTENCY_KEY_REUSED.
//
//	err := fingerprint.Stable(func() proto.Message { return newPayRequest(order) })
//
// The error names the first field that differs, and the remedy. The key and ignored fields may differ. Typical findings are a time, a fresh
// id, a list in the order of a Go map, and a google.protobuf.Any that contains a message with a map.
//   - Stable does not find differences between processes, or between builds of a program.
//   - It also fails if build returns nil, or messages of different types, and if Of fails.
func Stable(build func() proto.Message) error {
	var (
		first proto.Message
		want  store.Fingerprint
	)

	for range builds {
		msg := build()
		if msg == nil {
			return errors.New("fingerprint: checking a request: build returned nil: return the request")
		}

		got, err := Of(msg)
		if err != nil {
			return err
		}

		if first == nil {
			first, want = msg, got
		}

		if got != want {
			return unstable(first.ProtoReflect(), msg.ProtoReflect())
		}
	}

	return nil
}

func unstable(a, b protoreflect.Message) error {
	name := a.Descriptor().FullName()
	if name != b.Descriptor().FullName() {
		return fmt.Errorf("fingerprint: checking a request: build returned a %s and then a %s: return one type", name, b.Descriptor().FullName())
	}

	d := differs(a, b, planOf(a.Descriptor()))

	switch {
	case d == nil: // the difference is in an extension, or in the bits of a floating-point number
		return fmt.Errorf("fingerprint: checking a %s: its fingerprint changes each time that it is built: "+
			"build it with the same values on every attempt", name)
	case d.packed:
		return fmt.Errorf("fingerprint: checking a %s: Any field %s changes each time that the request is built: "+
			"pack it with anypb.MarshalFrom and proto.MarshalOptions{Deterministic: true}", name, d.path)
	default:
		return fmt.Errorf("fingerprint: checking a %s: field %s changes each time that the request is built: "+
			"give it the same value on every attempt, or mark it as (onlyonce.v1.field).ignored", name, d.path)
	}
}

// difference is the first field in which two messages differ.
type difference struct {
	path   string
	packed bool // it is a google.protobuf.Any
}

// differs compares two messages of one type. It returns nil if all fields that count are equal.
func differs(a, b protoreflect.Message, p *plan) *difference {
	fields := a.Descriptor().Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)
		f := p.numbered(fd.Number())

		if f.treatment == dropped || !a.Has(fd) && !b.Has(fd) {
			continue
		}

		d := fieldDiffers(a.Get(fd), b.Get(fd), fd, f)
		if a.Has(fd) != b.Has(fd) {
			d = &difference{}
		}

		if d != nil {
			d.path = joined(string(fd.Name()), d.path)

			return d
		}
	}

	if !bytes.Equal(a.GetUnknown(), b.GetUnknown()) {
		return &difference{path: "(unknown to this build)"}
	}

	return nil
}

func fieldDiffers(a, b protoreflect.Value, fd protoreflect.FieldDescriptor, f *field) *difference {
	switch {
	case fd.IsMap() && f.message != nil:
		return mapDiffers(a.Map(), b.Map(), f)
	case fd.IsList() && f.message != nil:
		return listDiffers(a.List(), b.List(), f)
	default:
		return valueDiffers(a, b, f)
	}
}

func listDiffers(a, b protoreflect.List, f *field) *difference {
	if a.Len() != b.Len() {
		return &difference{}
	}

	for i := range a.Len() {
		if d := valueDiffers(a.Get(i), b.Get(i), f); d != nil {
			d.path = joined(fmt.Sprintf("[%d]", i), d.path)

			return d
		}
	}

	return nil
}

func mapDiffers(a, b protoreflect.Map, f *field) (found *difference) {
	if a.Len() != b.Len() {
		return &difference{}
	}

	a.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		if !b.Has(key) {
			found = &difference{}
		} else if d := valueDiffers(value, b.Get(key), f); d != nil {
			d.path = joined(fmt.Sprintf("[%v]", key), d.path)
			found = d
		}

		return found == nil
	})

	return found
}

func valueDiffers(a, b protoreflect.Value, f *field) *difference {
	switch {
	case f.message == nil && a.Equal(b):
		return nil
	case f.message == nil:
		return &difference{}
	case a.Message().Descriptor().FullName() != "google.protobuf.Any":
		return differs(a.Message(), b.Message(), f.message)
	case a.Equal(b):
		return nil
	default:
		return &difference{packed: true}
	}
}

// joined joins two parts of a path. A part is a name, or an index or a key in brackets.
func joined(outer, inner string) string {
	if inner == "" || inner[0] == '[' {
		return outer + inner
	}

	return outer + "." + inner
}
