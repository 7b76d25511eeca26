package fingerprint

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

var verbatimPlans = []*plan{
	planOf(new(vectors.Everything).ProtoReflect().Descriptor()),
	planOf(new(vectors.Legacy).ProtoReflect().Descriptor()),
	planOf(new(vectors.Edition).ProtoReflect().Descriptor()),
	planOf(new(vectors.Branch).ProtoReflect().Descriptor()),
	planOf(new(vectors.Older).ProtoReflect().Descriptor()),
	planOf(new(vectors.Narrow).ProtoReflect().Descriptor()),
	nil, // of a message whose type has no field
}

// mustBeItsOwnForm fails if verbatim accepts bytes whose canonical form is another one.
func mustBeItsOwnForm(t *testing.T, data []byte, p *plan) (passes bool) {
	t.Helper()

	if !verbatim(data, p, 1) {
		return false
	}

	form, err := new(work).message(nil, data, p, 1)
	if err != nil || !bytes.Equal(form, data) {
		t.Fatalf("%x passes for its own canonical form, which is %x, %v", data, form, err)
	}

	return true
}

func FuzzWhatIsHashedAsItIsIsCanonical(f *testing.F) {
	for _, msg := range verbatimMessages() {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			f.Fatal(err)
		}

		f.Add(data)

		for i := range data { // damaged, shortened and doubled
			damaged := bytes.Clone(data)
			damaged[i] ^= 0x80
			f.Add(damaged)
			f.Add(data[:i])
			f.Add(append(bytes.Clone(data[i:]), data[:i]...))
		}
	}

	f.Add([]byte{0x0a, 0x81, 0x00, 0x08, 0x01})       // a length that is not in its shortest form
	f.Add([]byte{0x8a, 0x00, 0x01, 0x61, 0x0a, 0x00}) // the same for a tag

	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range verbatimPlans {
			mustBeItsOwnForm(t, data, p)
		}
	})
}

// verbatimMessages are messages whose encodings are canonical.
func verbatimMessages() map[string]proto.Message {
	return map[string]proto.Message{
		"empty":   new(vectors.Everything),
		"scalars": &vectors.Everything{Int32Value: -1, Sint64Value: -5, Fixed32Value: 7, DoubleValue: -1, BoolValue: true, StringValue: "text"},
		"lists":   &vectors.Everything{Leaves: []*vectors.Leaf{{Name: "a", Count: 1}, {}, {Count: 2}}},
		"nested":  &vectors.Branch{Number: 1, Next: &vectors.Branch{Number: 2, Next: &vectors.Branch{}}},
	}
}

// Otherwise nothing is gained.
func TestCommonMessagesAreHashedAsTheyAreEncoded(t *testing.T) {
	t.Parallel()

	for name, msg := range verbatimMessages() {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}

		if !mustBeItsOwnForm(t, data, planOf(msg.ProtoReflect().Descriptor())) {
			t.Errorf("%s: %x is not hashed as it is", name, data)
		}

		w := new(work)
		if form, err := w.canonical(msg); err != nil || !bytes.Equal(form, data) || w.form != nil {
			t.Errorf("%s: the canonical form %x was made field by field, error %v", name, form, err)
		}
	}
}

func TestWhatIsNotCanonicalIsNotHashedAsItIs(t *testing.T) {
	t.Parallel()

	p := &plan{low: [32]*field{
		1: {treatment: copied, element: protowire.VarintType},
		2: {treatment: copied, element: protowire.BytesType},
		3: {treatment: packed, element: protowire.VarintType},
		5: {treatment: dropped, element: protowire.VarintType},
		6: {treatment: mapped, element: protowire.BytesType},
		7: {treatment: delimited, element: protowire.StartGroupType},
		8: {treatment: packed, element: protowire.Fixed64Type},
	}}
	p.low[4] = &field{treatment: nested, element: protowire.BytesType, message: p}

	deep := []byte{}
	for range MaxDepth {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), deep)
	}

	for name, data := range map[string][]byte{
		"another order":                {0x12, 0x00, 0x08, 0x01},
		"an unknown field":             {0x48, 0x01},
		"a field of another type":      {0x0a, 0x01, 0x61},
		"an ignored field":             {0x28, 0x01},
		"a map":                        {0x32, 0x04, 0x08, 0x01, 0x10, 0x01},
		"a group":                      {0x3b, 0x3c},
		"a list that is not packed":    {0x18, 0x01},
		"a list of fixed size":         {0x41, 0x07, 1, 2, 3, 4, 5, 6, 7}, // not packed; its element looks like a piece of a packed list
		"a list in two pieces":         {0x1a, 0x01, 0x01, 0x1a, 0x01, 0x02},
		"a list in two ways":           {0x1a, 0x01, 0x01, 0x18, 0x02},
		"an empty list":                {0x1a, 0x00},
		"a list with a long tag":       {0x9a, 0x00, 0x01, 0x01},
		"a list with a long length":    {0x1a, 0x81, 0x00, 0x01},
		"a message with a long length": {0x22, 0x82, 0x00, 0x08, 0x01},
		"another order within":         {0x22, 0x04, 0x12, 0x00, 0x08, 0x01},
		"too deep":                     deep,
		"cut off":                      {0x12, 0x02, 0x61},
		"no tag":                       {0x80},
	} {
		if verbatim(data, p, 1) {
			t.Errorf("%s: %x is hashed as it is", name, data)
		}

		// These are canonical and rare.
		if slices.Contains([]string{"an unknown field", "a field of another type", "a map", "a group"}, name) {
			continue
		}

		if form, err := new(work).message(nil, data, p, 1); err == nil && bytes.Equal(form, data) {
			t.Errorf("%s: %x is canonical", name, data)
		}
	}
}

// BenchmarkForm makes the canonical form of an encoding by verbatim, and field by field.
func BenchmarkForm(b *testing.B) {
	for name, msg := range verbatimMessages() {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			b.Fatal(err)
		}

		p, w := planOf(msg.ProtoReflect().Descriptor()), new(work)

		b.Run(name+"/as it is", func(b *testing.B) {
			for b.Loop() {
				verbatim(data, p, 1)
			}
		})
		b.Run(name+"/field by field", func(b *testing.B) {
			for b.Loop() {
				w.form, _ = w.message(w.form[:0], data, p, 1)
			}
		})
	}
}
