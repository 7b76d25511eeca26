package fingerprint_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// kinds makes an empty message of each fuzzed type.
var kinds = []func() proto.Message{
	func() proto.Message { return new(vectors.Everything) },
	func() proto.Message { return new(vectors.Everything) },
	func() proto.Message { return new(vectors.Legacy) },
	func() proto.Message { return new(vectors.Edition) },
	func() proto.Message { return new(vectors.Branch) },
	func() proto.Message { return new(vectors.Older) },
	func() proto.Message { return new(vectors.Narrow) },
}

func seeded(f *testing.F) {
	f.Helper()

	for i := range 100 {
		f.Add(bytes.Repeat([]byte{0, byte(i), byte(i * 7)}, i%5))
		f.Add([]byte{0, byte(i), 0, byte(i * 3), byte(i)})
	}
}

// canonical is the canonical form, on which both implementations have to agree.
func canonical(t *testing.T, msg proto.Message) []byte {
	t.Helper()

	got, err := fingerprint.Canonical(nil, msg)
	if err != nil {
		t.Fatalf("Canonical(%v): %v", msg, err)
	}

	want, err := reference(msg)
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got, want) {
		t.Fatalf("the canonical form is\n%x and by the reference\n%x\nof %v", got, want, msg)
	}

	return got
}

func parse(t *testing.T, data []byte, msg proto.Message) proto.Message {
	t.Helper()

	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(data, msg); err != nil {
		t.Fatalf("%v of %x", err, data)
	}

	return msg
}

// dynamic returns an empty dynamic message of the same type.
func dynamic(msg proto.Message) proto.Message {
	return dynamicpb.NewMessage(msg.ProtoReflect().Descriptor())
}

func FuzzEncodingDoesNotCount(f *testing.F) {
	seeded(f)

	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChoices(data)
		empty := pick(c, kinds...)
		msg := c.ofAnything(empty())
		want := canonical(t, msg)

		for range 3 {
			wire := c.sent(msg.ProtoReflect())

			if got := canonical(t, parse(t, wire, empty())); !bytes.Equal(got, want) {
				t.Fatalf("%x\nand sent as %x\n%x\n%v", want, wire, got, msg)
			}

			if got := canonical(t, parse(t, wire, dynamic(msg))); !bytes.Equal(got, want) {
				t.Fatalf("%x\nand, as a dynamic message sent as %x\n%x\n%v", want, wire, got, msg)
			}
		}

		// The canonical form is an encoding of the message without ignored fields.
		if got := canonical(t, parse(t, want, empty())); !bytes.Equal(got, want) {
			t.Fatalf("the canonical form %x has another one, %x", want, got)
		}
	})
}

func FuzzOldAndNewBuildsAgree(f *testing.F) {
	seeded(f)

	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChoices(data)
		msg := c.ofAnything(new(vectors.Everything))

		// A field whose form is canonical may stand anywhere. A field that all builds ignore may be present.
		var records [][]byte

		for form := canonical(t, msg); len(form) > 0; {
			_, _, size := protowire.ConsumeField(form)
			records, form = append(records, form[:size]), form[size:]
		}

		for range 10 {
			if len(records) < 2 {
				break
			}

			i := c.below(len(records) - 1)
			a, _, _ := protowire.ConsumeField(records[i])

			if b, _, _ := protowire.ConsumeField(records[i+1]); a != b {
				records[i], records[i+1] = records[i+1], records[i]
			}
		}

		wire := bytes.Join(records, nil)
		want := of(t, parse(t, wire, new(vectors.Everything)))

		for _, other := range []proto.Message{
			new(vectors.Older), new(vectors.Narrow), dynamic(new(vectors.Older)), dynamic(new(vectors.Everything)),
		} {
			canonical(t, parse(t, wire, other))

			if got := of(t, other); got != want {
				t.Fatalf("%T makes another digest of %x", other, wire)
			}
		}

		ignored := &vectors.Older{RequestId: "key", TraceId: "trace", FarIgnored: "far", IgnoredInt32S: []int32{1}}
		more, err := proto.Marshal(ignored)
		if err != nil {
			t.Fatal(err)
		}

		wire = append(wire, more...)
		if of(t, parse(t, wire, new(vectors.Older))) != want || of(t, parse(t, wire, new(vectors.Everything))) != want {
			t.Fatalf("what is ignored counts in %x", wire)
		}
	})
}

func FuzzEveryChangeCounts(f *testing.F) {
	seeded(f)

	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChoices(data)
		empty := pick(c, kinds...)
		msg := c.ofAnything(empty())
		want := of(t, msg)

		wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}

		for range 5 {
			changed := parse(t, wire, empty()) // proto.Clone loses -0
			ways := c.changes(changed.ProtoReflect())
			way := ways[c.below(len(ways))]
			way.apply()
			canonical(t, changed)

			if got := of(t, changed); (got == want) != way.ignored {
				t.Fatalf("%s, ignored: %t, and the digest stays: %t\n%v", way.name, way.ignored, got == want, msg)
			}
		}
	})
}

func FuzzAnyBytes(f *testing.F) {
	for _, kind := range kinds {
		for i := range byte(8) {
			c := newChoices([]byte{i})
			f.Add(c.sent(c.ofAnything(kind()).ProtoReflect()))
		}
	}

	f.Add([]byte{0x0b, 0x0c})                                  // an empty group where a double should be
	f.Add([]byte{0x8d, 0x80, 0, 1, 2, 3, 4, 0x98, 0x80, 0, 1}) // wrong types, with long tags
	f.Add(protowire.AppendTag(nil, 1000, protowire.StartGroupType))

	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range kinds[1:] {
			damaged := kind()
			damaged.ProtoReflect().SetUnknown(data)

			if _, err := fingerprint.Of(damaged); err != nil && protowire.ConsumeFieldValue(1, protowire.BytesType,
				protowire.AppendBytes(nil, data)) < 0 {
				t.Fatal(err)
			}

			msg := kind()
			if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(data, msg) != nil {
				continue
			}

			digest, err := fingerprint.Of(msg)
			form, formErr := reference(msg)

			if err != nil || formErr != nil {
				if !errors.Is(err, fingerprint.ErrTooDeep) || !errors.Is(formErr, errReferenceTooDeep) {
					t.Fatalf("%v, and by the reference %v", err, formErr)
				}

				continue
			}

			wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(msg)
			if err != nil {
				t.Fatal(err)
			}

			if of(t, parse(t, wire, kind())) != digest {
				t.Fatalf("%x has another digest when it is sent again", data)
			}

			if signalling(msg.ProtoReflect()) {
				continue
			}

			if got := canonical(t, msg); !bytes.Equal(got, form) || of(t, parse(t, data, dynamic(msg))) != digest {
				t.Fatalf("%x has another digest as a dynamic message", data)
			}
		}
	})
}

// signalling reports whether a message has a signalling NaN of 32 bits. Reflection quiets those.
func signalling(msg protoreflect.Message) (found bool) {
	look := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
		found = found || fd.Kind() == protoreflect.FloatKind && math.IsNaN(v.Float()) ||
			fd.Message() != nil && signalling(v.Message())
	}

	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				look(fd.MapValue(), v)

				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				look(fd, v.List().Get(i))
			}
		default:
			look(fd, v)
		}

		return true
	})

	return found
}
