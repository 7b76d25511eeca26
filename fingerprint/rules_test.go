package fingerprint_test

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// is fails where the canonical form of a message is another one.
func is(t *testing.T, msg proto.Message, want ...[]byte) {
	t.Helper()

	if got := canonical(t, msg); !bytes.Equal(got, fields(want...)) {
		t.Errorf("the canonical form is\n%x, want\n%x", got, fields(want...))
	}
}

func TestDigestIsTheSHA256OfTheCanonicalForm(t *testing.T) {
	msg := &vectors.Everything{Int32Value: 1, Leaf: &vectors.Leaf{Name: "a", Note: "b"}}

	form, err := fingerprint.Canonical([]byte("in front"), msg)
	if err != nil || !bytes.HasPrefix(form, []byte("in front")) {
		t.Fatalf("Canonical = %x, %v", form, err)
	}

	if of(t, msg).Sum != sha256.Sum256(form[len("in front"):]) {
		t.Error("it is not")
	}
}

func TestRule1FieldsAreInTheOrderOfTheirNumbers(t *testing.T) {
	msg := &vectors.Everything{
		Choice:    &vectors.Everything_ChoiceText{ChoiceText: "x"}, // 20
		BoolValue: true, Int32S: []int32{1}, Far: 1, FarList: []uint32{1, 2},
	}
	want := [][]byte{
		varint(13, 1), text(20, "x"), text(38, ""), text(43, "\x01"), fixed32(44, 7), varint(100000, 1), text(100001, "\x01\x02"),
		varint(200000, 1),
	}

	msg.ProtoReflect().SetUnknown(fields(varint(200000, 1), fixed32(44, 7), text(38, "")))
	is(t, msg, want...)
	is(t, parse(t, fields(want...), dynamic(msg)), want...)

	extended := &vectors.Legacy{RequiredNumber: proto.Int32(1), Choice: &vectors.Legacy_Small{Small: 2}}
	proto.SetExtension(extended, vectors.E_NumberExt, int32(3))
	extended.ProtoReflect().SetUnknown(fields(varint(150, 1), varint(99, 1)))
	is(t, extended, varint(1, 1), varint(20, 2), varint(99, 1), varint(100, 3), varint(150, 1))
}

func TestRule1TheLastNumberInATableAndTheFirstBehind(t *testing.T) {
	is(t, &vectors.Everything{OptionalSfixed32: proto.Int32(1), OptionalSfixed64: proto.Int64(1), OptionalFixed64: proto.Uint64(1)},
		fixed64(30, 1), fixed32(31, 1), fixed64(32, 1))
}

func TestRule2PresenceDecidesWhatIsThere(t *testing.T) {
	negativeZero := math.Copysign(0, -1)

	is(t, &vectors.Everything{OptionalInt32: proto.Int32(0), OptionalString: new(""), Leaf: &vectors.Leaf{}},
		message(17), varint(23, 0), text(34, ""))
	is(t, &vectors.Everything{DoubleValue: negativeZero, FloatValue: float32(negativeZero)}, fixed64(1, 1<<63), fixed32(2, 1<<31))
	is(t, &vectors.Legacy{Defaulted: proto.Int32(42)}, varint(2, 42))
	is(t, &vectors.Legacy{Size: vectors.Size_SIZE_LARGE.Enum()}, varint(6, 2))
	is(t, &vectors.Edition{Explicit: proto.Int32(0)}, varint(2, 0))
	is(t, &vectors.Everything{Choice: &vectors.Everything_ChoiceNumber{}}, varint(71, 0))
	is(t, &vectors.Everything{Choice: &vectors.Everything_ChoiceLeaf{}}, message(74))
}

func TestRule3IgnoredFieldsAreLeftOutAtEveryLevel(t *testing.T) {
	leaf := func() *vectors.Leaf {
		return &vectors.Leaf{Note: "n", IgnoredDetails: &vectors.Details{Id: "x"}, Details: &vectors.Details{SentAt: nil, Ratio: 1}}
	}
	kept := message(6, fixed32(4, math.Float32bits(1)))

	is(t, &vectors.Everything{
		TraceId: "t", FarIgnored: "f", Leaf: leaf(), Leaves: []*vectors.Leaf{leaf()}, LeafMap: map[string]*vectors.Leaf{"k": leaf()},
		IgnoredInt32S: []int32{1}, IgnoredLeaves: []*vectors.Leaf{leaf()}, IgnoredMap: map[string]*vectors.Leaf{"k": leaf()},
		Self: &vectors.Everything{TraceId: "t", FarIgnored: "f", Leaf: leaf()}, FarLeaf: leaf(),
	}, message(17, kept), message(57, kept), message(93, text(1, "k"), message(2, kept)), message(111, message(17, kept)),
		message(100002, kept))
}

func TestRule3TheKeyIsLeftOutOfTheRequestAlone(t *testing.T) {
	for range 2 { // another plan for the same type
		is(t, &vectors.Everything{RequestId: "a", Self: &vectors.Everything{RequestId: "b"},
			Leaf: &vectors.Leaf{Details: &vectors.Details{Id: "c"}}},
			message(17, message(6, text(1, "c"))), message(111, text(18, "b")))
		is(t, &vectors.Details{Id: "c", Number: 1}, varint(2, 1))
	}
}

func TestRule3WhatHasTheNumberOfAnIgnoredFieldIsIgnored(t *testing.T) {
	msg := &vectors.Leaf{Name: "a"}
	msg.ProtoReflect().SetUnknown(fields(varint(3, 5), group(3, varint(1, 1)), fixed32(4, 1)))
	is(t, msg, text(1, "a"))
}

func TestRule4NegativeNumbersTakeTenBytes(t *testing.T) {
	is(t, &vectors.Everything{Int32Value: -1, EnumValue: vectors.Colour_COLOUR_INFRARED, Sint32Value: -1},
		varint(3, math.MaxUint64), varint(7, 1), varint(16, math.MaxUint64))
}

func TestRule4EncodingsAreTheShortest(t *testing.T) {
	for _, unknown := range [][]byte{
		{0x80, 0xfd, 0x80, 0x00, 0x85, 0x80, 0x00, 0xb3, 0x82, 0x00, 0x88, 0x00, 0x81, 0x00, 0xb4, 0x82, 0x80, 0x00},
		{0xb3, 0x02, 0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0xb4, 0x02, 0x80, 0xfd, 0x00, 0x05},
	} {
		msg := new(vectors.Narrow)
		msg.ProtoReflect().SetUnknown(unknown)
		is(t, msg, group(38, varint(1, 1)), varint(2000, 5))
	}
}

func TestRule5FloatsAreTheirBits(t *testing.T) {
	for _, bits := range []uint32{0x7fc00000, 0xffc00000, 0x7fc00001, 0x7f800001, 0x80000000, 1} { // 0x7f800001 is a signalling NaN
		form, err := fingerprint.Canonical(nil, &vectors.Everything{Floats: []float32{math.Float32frombits(bits)}})
		if want := text(42, fixed32(1, bits)[1:]); err != nil || !bytes.Equal(form, want) {
			t.Errorf("%x and %v instead of %x", form, err, want)
		}
	}

	for _, bits := range []uint64{0x7ff8000000000000, 0xfff8000000000001, 0x7ff0000000000001} {
		is(t, &vectors.Everything{DoubleValue: math.Float64frombits(bits)}, fixed64(1, bits))
	}
}

func TestRule6TextThatIsNotUTF8IsAnErrorWhereTheFieldDemandsIt(t *testing.T) {
	if _, err := fingerprint.Of(&vectors.Everything{StringMap: map[string]string{"\xff": ""}}); err == nil {
		t.Error("a key of a map may be anything")
	}

	is(t, &vectors.Legacy{Text: new("\xff")}, text(3, "\xff"))
}

func TestRule7LengthsAreThoseOfTheCanonicalForm(t *testing.T) {
	for _, size := range []int{0, 1, 120, 126, 127, 128, 200, 16380, 16384, 20000} {
		note := strings.Repeat("x", size)
		leaf := &vectors.Leaf{Name: note, Note: note}

		var kept []byte
		if size > 0 {
			kept = text(1, note)
		}

		is(t, &vectors.Everything{Leaf: leaf, Far: 1}, message(17, kept), varint(100000, 1))
		is(t, &vectors.Everything{LeafMap: map[string]*vectors.Leaf{"k": {Note: note, Count: 1}}, Far: 1},
			message(93, text(1, "k"), message(2, varint(2, 1))), varint(100000, 1))
	}
}

func TestRule7GroupsAreTagsAroundTheirContent(t *testing.T) {
	is(t, &vectors.Legacy{
		Extra: &vectors.Legacy_Extra{Number: proto.Int32(1), Note: new("n"), Inner: &vectors.Legacy_Extra_Inner{Flag: new(true)}},
		Item:  []*vectors.Legacy_Item{{Codes: []uint32{1}, Amount: proto.Uint64(5)}, {}}, Skipped: &vectors.Legacy_Skipped{},
	}, group(8, varint(1, 1), group(4, varint(1, 1))), group(9, varint(1, 5), text(2, "\x01\x00\x00\x00")), group(9))
}

func TestRule8ListsOfScalarsArePacked(t *testing.T) {
	is(t, &vectors.Everything{
		UnpackedInt32S: []int32{1, -1, 0}, UnpackedFixed64S: []uint64{1}, UnpackedEnums: []vectors.Colour{2, 0, 2}, Bools: []bool{false, true},
	}, text(53, "\x00\x01"), text(58, "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"), text(59, "\x01\x00\x00\x00\x00\x00\x00\x00"),
		text(60, "\x02\x00\x02"))
	is(t, &vectors.Legacy{
		Unpacked: []int32{1, 2}, Sizes: []vectors.Size{1, 1}, UnpackedFloats: []float32{0}, UnpackedDoubles: []float64{0, 0},
		UnpackedBools: []bool{true}, UnpackedSint64S: []int64{-1},
	}, text(4, "\x01\x02"), text(7, "\x01\x01"), text(11, make([]byte, 4)), text(12, make([]byte, 16)), text(13, "\x01"), text(14, "\x01"))

	long := make([]int32, 300)
	is(t, &vectors.Legacy{Unpacked: long, Packed: long}, text(4, make([]byte, 300)), text(5, make([]byte, 300)))
}

func TestRule8OtherListsKeepTheirElements(t *testing.T) {
	is(t, &vectors.Everything{Strings: []string{"b", "", "a"}, BytesList: [][]byte{{1}, nil}, Leaves: []*vectors.Leaf{{Count: 2}, nil,
		{Note: "x"}, {Count: 1}}},
		text(54, "b"), text(54, ""), text(54, "a"), text(55, "\x01"), text(55, ""),
		message(57, varint(2, 2)), message(57), message(57), message(57, varint(2, 1)))
}

func TestRule8AnElementOfAnotherTypeIsAnUnknownField(t *testing.T) {
	list := &vectors.Legacy{UnpackedSint64S: []int64{-1, 1}}
	list.ProtoReflect().SetUnknown(fields(fixed32(14, 5), fixed32(14, 4), fixed32(12, 1)))
	is(t, list, fixed32(12, 1), text(14, "\x01\x02"), fixed32(14, 5), fixed32(14, 4))
}

func TestRule9MapsAreInTheOrderOfTheirKeys(t *testing.T) {
	numbers := []int64{math.MinInt64, -300, -1, 0, 1, 2, 10, 127, 128, 256, math.MaxInt64}
	everything := new(vectors.Everything)
	everything.Int64Map, everything.Sint64Map = make(map[int64][]byte), make(map[int64]int64)
	everything.Sfixed32Map, everything.Fixed64Map = make(map[int32]int32), make(map[uint64]uint64)

	var int64s, sint64s, sfixed32s, fixed64s []byte //nolint:prealloc // their sizes differ

	for _, n := range numbers {
		everything.Int64Map[n], everything.Sint64Map[n] = nil, 0
		int64s = append(int64s, message(82, varint(1, uint64(n)), text(2, ""))...)
		sint64s = append(sint64s, message(86, varint(1, protowire.EncodeZigZag(n)), varint(2, 0))...)

		if n == int64(int32(n)) {
			everything.Sfixed32Map[int32(n)] = 0
			sfixed32s = append(sfixed32s, message(89, fixed32(1, uint32(n)), fixed32(2, 0))...)
		}
	}

	for _, n := range []uint64{0, 1, 255, 256, 1 << 32, 1 << 63, math.MaxUint64} {
		everything.Fixed64Map[n] = 0
		fixed64s = append(fixed64s, message(88, fixed64(1, n), fixed64(2, 0))...)
	}

	is(t, everything, int64s, sint64s, fixed64s, sfixed32s)

	for range 10 { // as unordered as they come
		wire, err := proto.MarshalOptions{}.Marshal(everything)
		if err != nil {
			t.Fatal(err)
		}

		is(t, parse(t, wire, new(vectors.Everything)), int64s, sint64s, fixed64s, sfixed32s)
	}

	keys := []string{"", "\x00", "A", "AB", "B", "a", "é", "\uffff", "\U0001f600"} // the last two are the other way round in UTF-16
	texts := &vectors.Everything{StringMap: map[string]string{}}

	var want []byte //nolint:prealloc // it is no list of keys
	for _, key := range keys {
		texts.StringMap[key] = ""
		want = append(want, message(92, text(1, key), text(2, ""))...)
	}

	is(t, texts, want)
	is(t, &vectors.Everything{BoolMap: map[bool]uint64{true: 0, false: 1}}, message(91, varint(1, 0), varint(2, 1)), message(91,
		varint(1, 1), varint(2, 0)))
}

func TestRule9MapsWithinMaps(t *testing.T) {
	branch := func(n int32) *vectors.Branch { return &vectors.Branch{Number: n, Stamp: []byte("s")} }
	content := func(n uint64) []byte { return message(2, varint(6, n)) }

	is(t, &vectors.Branch{Map: map[uint32]*vectors.Branch{
		300: {Map: map[uint32]*vectors.Branch{2: branch(1), 1: branch(2)}}, 2: {Map: map[uint32]*vectors.Branch{4: branch(3),
			3: branch(4)}}, 1: nil,
	}}, message(3, varint(1, 1), message(2)),
		message(3, varint(1, 2), message(2, message(3, varint(1, 3), content(8)), message(3, varint(1, 4), content(6)))),
		message(3, varint(1, 300), message(2, message(3, varint(1, 1), content(4)), message(3, varint(1, 2), content(2)))))
}

func TestRule9EntriesOfAnotherTypeAreUnknownFields(t *testing.T) {
	msg := &vectors.Everything{BoolMap: map[bool]uint64{true: 1}}
	msg.ProtoReflect().SetUnknown(varint(91, 1))
	is(t, msg, message(91, varint(1, 1), varint(2, 1)), varint(91, 1))
}

// The encoder of protobuf sorts entries. A message that encodes itself may not.
func TestRule9EntriesThatComeInAnotherOrderAreSorted(t *testing.T) {
	inner := func(first, second uint64) []byte {
		return message(2, message(3, varint(1, first), message(2)), message(3, varint(1, second), message(2)))
	}

	for name, unknown := range map[string][]byte{
		"descending": fields(message(3, varint(1, 300), inner(2, 1)),
			message(3, varint(1, 2), inner(9, 7)), message(3, varint(1, 1), inner(1, 3))),
		"mixed": fields(message(3, varint(1, 2), inner(7, 9)),
			message(3, varint(1, 1), inner(3, 1)), message(3, varint(1, 300), inner(1, 2))),
	} {
		t.Run(name, func(t *testing.T) {
			msg := new(vectors.Branch)
			msg.ProtoReflect().SetUnknown(unknown)

			got, err := fingerprint.Canonical(nil, msg)
			want := fields(message(3, varint(1, 1), inner(1, 3)), message(3, varint(1, 2), inner(7, 9)), message(3, varint(1, 300), inner(1, 2)))

			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the canonical form is\n%x, %v, want\n%x", got, err, want)
			}
		})
	}
}

// The fingerprint does not read the content of extensions, so the encoder has to sort their maps.
func TestMapsOfExtensionsAreInOrder(t *testing.T) {
	weights := make(map[string]int32)
	for i := range int32(50) {
		weights[strings.Repeat("x", int(i))] = i
	}

	msg := &vectors.Legacy{RequiredNumber: new(int32(1))}
	proto.SetExtension(msg, vectors.E_LeafExt, &vectors.Leaf{Weights: weights})

	want := of(t, msg)
	for range 20 {
		if of(t, msg) != want {
			t.Fatal("another digest each time")
		}
	}
}

func TestRule11UnknownFieldsOfOneNumberKeepTheirOrder(t *testing.T) {
	records := make([][]byte, 0, 40)

	for i := range 40 { // more than a sort would do by insertion
		records = append(records, varint(protowire.Number(2000-i%2), uint64(i)))
	}

	msg := new(vectors.Narrow)
	msg.ProtoReflect().SetUnknown(fields(records...))

	slices.SortStableFunc(records, func(a, b []byte) int { return int(a[1]) - int(b[1]) })
	is(t, msg, records...)
}

func TestRule12BytesOfUnknownFieldsAreAsTheyAre(t *testing.T) {
	msg := new(vectors.Narrow)
	content := []byte{0x10, 0x81, 0x00, 0x08, 0x01}
	msg.ProtoReflect().SetUnknown(text(5, content))
	is(t, msg, text(5, content))
}

func TestTypeOfTheMessageDoesNotCount(t *testing.T) {
	wire := fields(varint(3, 1), text(14, "x"))

	if of(t, parse(t, wire, new(vectors.Everything))) != of(t, parse(t, wire, new(vectors.Older))) ||
		of(t, new(vectors.Everything)) != of(t, new(vectors.Legacy)) {
		t.Error("the name of the type is a part of the digest")
	}
}

func TestRequestIsNotChanged(t *testing.T) {
	c := newChoices([]byte("any"))

	for range 50 {
		msg := c.ofAnything(new(vectors.Everything))
		before := string(encoded(t, msg))
		unknown := slices.Clone(msg.ProtoReflect().GetUnknown())
		of(t, msg)

		if string(encoded(t, msg)) != before || !bytes.Equal(unknown, msg.ProtoReflect().GetUnknown()) {
			t.Fatalf("the message was changed: %v", msg)
		}
	}
}

func encoded(t *testing.T, msg proto.Message) []byte {
	t.Helper()

	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}

	return data
}

func TestOneRequestConcurrently(t *testing.T) {
	c := newChoices([]byte("concurrent"))
	msgs := make([]proto.Message, 20)

	for i := range msgs {
		msgs[i] = c.ofAnything(kinds[i%len(kinds)]())
	}

	var (
		all  sync.WaitGroup
		lock sync.Mutex
	)

	seen := make(map[int]map[[32]byte]bool)

	for range 8 {
		all.Go(func() {
			for i, msg := range msgs {
				digest, err := fingerprint.Of(msg)
				if err != nil {
					t.Error(err)
				}

				lock.Lock()
				if seen[i] == nil {
					seen[i] = make(map[[32]byte]bool)
				}

				seen[i][digest.Sum] = true
				lock.Unlock()
			}
		})
	}

	all.Wait()

	for i := range maps.Keys(seen) {
		if len(seen[i]) != 1 {
			t.Errorf("%d digests of one request", len(seen[i]))
		}
	}
}
