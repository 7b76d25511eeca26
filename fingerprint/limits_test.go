package fingerprint_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
	"github.com/onlyonce-go/onlyonce/store"
)

func tooDeep(t *testing.T, msg proto.Message) {
	t.Helper()

	if digest, err := fingerprint.Of(msg); !errors.Is(err, fingerprint.ErrTooDeep) || digest != (store.Fingerprint{}) {
		t.Errorf("Of = %x, %v", digest.Sum, err)
	}

	before := []byte("before")
	if form, err := fingerprint.Canonical(before, msg); !errors.Is(err, fingerprint.ErrTooDeep) || string(form) != "before" {
		t.Errorf("Canonical = %x, %v", form, err)
	}

	if _, err := reference(msg); !errors.Is(err, errReferenceTooDeep) {
		t.Errorf("by the reference: %v", err)
	}
}

func TestMessagesAndGroupsNestedMoreThan100DeepAreAnError(t *testing.T) {
	for name, kind := range map[string]struct {
		msg  proto.Message
		each int // messages and groups in one step
		wrap func([]byte) []byte
	}{
		"message":       {new(vectors.Branch), 1, func(b []byte) []byte { return message(1, b) }},
		"list":          {new(vectors.Branch), 1, func(b []byte) []byte { return message(2, b) }},
		"map":           {new(vectors.Branch), 1, func(b []byte) []byte { return message(3, message(2, b)) }},
		"oneof":         {new(vectors.Branch), 1, func(b []byte) []byte { return message(5, b) }},
		"group":         {new(vectors.Edition), 1, func(b []byte) []byte { return group(5, b) }},
		"list of group": {new(vectors.Edition), 1, func(b []byte) []byte { return group(8, b) }},
		"both":          {new(vectors.LegacyChain), 2, func(b []byte) []byte { return group(1, message(1, b)) }},
		"unknown group": {new(vectors.Branch), 1, func(b []byte) []byte { return group(1000, b) }},
		"wrong type":    {new(vectors.Branch), 1, func(b []byte) []byte { return group(1, b) }},
	} {
		t.Run(name, func(t *testing.T) {
			steps := fingerprint.MaxDepth/kind.each - 1
			canonical(t, parse(t, repeat(steps, nil, kind.wrap), kind.msg))

			if kind.each == 1 {
				tooDeep(t, parse(t, repeat(steps+1, nil, kind.wrap), proto.Clone(kind.msg)))
			} else {
				tooDeep(t, parse(t, repeat(steps+1, varint(1, 1), kind.wrap), proto.Clone(kind.msg)))
			}

			tooDeep(t, parse(t, repeat(600, nil, kind.wrap), proto.Clone(kind.msg)))
		})
	}
}

func TestIgnoredFieldsMayBeNestedDeeply(t *testing.T) {
	deep := repeat(300, nil, func(b []byte) []byte { return group(8, message(3, b)) })
	msg := parse(t, fields(varint(1, 1), group(16, message(1, varint(1, 1), deep))), new(vectors.Legacy))

	if of(t, msg) != of(t, &vectors.Legacy{RequiredNumber: proto.Int32(1)}) {
		t.Error("what is ignored counts")
	}
}

func TestUnknownBytesMayBeNestedDeeply(t *testing.T) {
	deep := repeat(300, nil, func(b []byte) []byte { return message(1, b) })
	canonical(t, parse(t, deep, new(vectors.Narrow)))
}

// A request of 600 bytes once took practically forever: content out of order was visited twice at every level.
func TestFieldsOutOfOrderAtEveryLevelTakeNoLonger(t *testing.T) {
	for name, msg := range map[string]proto.Message{
		"unknown groups": parse(t, repeat(99, nil, func(b []byte) []byte { return fields(group(1000, b), varint(1, 1)) }), new(vectors.Narrow)),
		"messages":       parse(t, repeat(99, nil, func(b []byte) []byte { return fields(message(2, b), fixed32(1, 1)) }), new(vectors.Branch)),
		"maps": parse(t, repeat(99, nil, func(b []byte) []byte {
			return fields(message(3, message(2, b)), fixed32(1, 1))
		}), new(vectors.Branch)),
		"groups": parse(t, repeat(99, nil, func(b []byte) []byte { return fields(group(5, b), fixed32(1, 1)) }), new(vectors.Edition)),
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})

			go func() {
				defer close(done)
				canonical(t, msg)
			}()

			select {
			case <-done:
			case <-time.After(2 * time.Minute):
				panic("it takes more than two minutes")
			}
		})
	}
}

func TestWhatIsNoEncodingIsAnError(t *testing.T) {
	for name, unknown := range map[string][]byte{
		"a tag alone":             {0x08},
		"half a tag":              {0x80},
		"number zero":             {0x00, 0x00},
		"a group without an end":  {0x0b},
		"an end without a group":  {0x0c},
		"the end of another":      {0x0b, 0x14},
		"the end in a group":      {0x0b, 0x0b, 0x0c, 0x14},
		"too short":               {0x0a, 0x05, 'x'},
		"a type that is not":      {0x0f},
		"fewer than eight bytes":  {0x09, 1, 2, 3},
		"half a value in a known": protowire.AppendTag(nil, 6, protowire.VarintType),
	} {
		t.Run(name, func(t *testing.T) {
			for _, msg := range []proto.Message{new(vectors.Narrow), new(vectors.Branch), new(vectors.Legacy), new(vectors.Everything)} {
				msg.ProtoReflect().SetUnknown(unknown)

				if digest, err := fingerprint.Of(msg); err == nil || errors.Is(err, fingerprint.ErrTooDeep) {
					t.Errorf("%T: Of = %x, %v", msg, digest.Sum, err)
				}
			}
		})
	}
}

// Parsers keep no entries among the unknown fields, but a program might.
func TestEntriesThatNoEncoderMakesAreAnError(t *testing.T) {
	for name, unknown := range map[string][]byte{
		"nothing":              message(92),
		"a key alone":          message(92, text(1, "k")),
		"a value in front":     message(92, text(2, "v"), text(1, "k")),
		"another field behind": message(92, text(1, "k"), text(3, "v")),
		"no key":               message(92, text(3, "k"), text(2, "v")),
		"two values":           message(92, text(1, "k"), text(2, "v"), text(2, "w")),
		"a value of another":   message(94, text(1, "k"), varint(2, 1)),
		"half a value":         message(92, text(1, "k"), []byte{0x12, 9, 'v'}),
	} {
		t.Run(name, func(t *testing.T) {
			msg := new(vectors.Everything)
			msg.ProtoReflect().SetUnknown(unknown)

			if digest, err := fingerprint.Of(msg); err == nil {
				t.Errorf("Of = %x", digest.Sum)
			}
		})
	}
}

func TestAnErrorDoesNotDisturbWhatFollows(t *testing.T) {
	good := &vectors.Everything{StringMap: map[string]string{"b": "1", "a": "2"}, LeafMap: map[string]*vectors.Leaf{"x": {Name: "y"}}}
	good.ProtoReflect().SetUnknown(varint(38, 1))
	want := of(t, good)
	bad := &vectors.Branch{Map: map[uint32]*vectors.Branch{1: {}, 2: {}}}
	bad.GetMap()[2].ProtoReflect().SetUnknown([]byte{0x08})

	for range 100 {
		if _, err := fingerprint.Of(bad); err == nil {
			t.Fatal("no error")
		}

		if of(t, good) != want {
			t.Fatal("another digest after an error")
		}
	}
}
