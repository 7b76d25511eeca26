package fingerprint_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onlyonce-go/onlyonce/fingerprint"
)

var write = flag.Bool("write-vectors", false, "write testdata/vectors.json")

const (
	vectorsFile    = "testdata/vectors.json"
	vectorsPackage = "onlyonce.fingerprint.v1."
	vectorsFolder  = "internal/vectors/onlyonce/fingerprint/v1/"
)

// vector is a request and its fingerprint. The bytes are in hexadecimal.
type vector struct {
	Name string `json:"name"`
	// Another vector, in front of this one, whose digest must be the same, or must not.
	SameAs      string `json:"same_as,omitempty"`
	DiffersFrom string `json:"differs_from,omitempty"`
	Type        string `json:"type"`
	Schema      string `json:"schema"`
	Input       string `json:"input"`
	// Exactly one of Canonical and Error is set.
	Canonical *string `json:"canonical,omitempty"`
	Error     string  `json:"error,omitempty"`
	Digest    string  `json:"digest,omitempty"`
}

type vectorFile struct {
	Comment string   `json:"comment"`
	Scheme  uint16   `json:"scheme"`
	Vectors []vector `json:"vectors"`
}

// The functions below make inputs.

func fields(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func varint(number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n)
}

func text[T ~string | ~[]byte](number protowire.Number, content T) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), []byte(content))
}

func message(number protowire.Number, parts ...[]byte) []byte { return text(number, fields(parts...)) }

func group(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendTag(append(protowire.AppendTag(nil, number, protowire.StartGroupType), fields(parts...)...),
		number, protowire.EndGroupType)
}

func fixed32(number protowire.Number, n uint32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), n)
}

func fixed64(number protowire.Number, n uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), n)
}

func repeat(n int, inner []byte, wrap func([]byte) []byte) []byte {
	for range n {
		inner = wrap(inner)
	}

	return inner
}

// family has vectors of one type. The first is the one that the others are compared with.
type family struct {
	kind   string
	rule   string
	first  []byte
	same   map[string][]byte
	differ map[string][]byte
}

func negative(n int64) uint64 { return uint64(n) }

func families() []family {
	const (
		everything, legacy, edition = "Everything", "Legacy", "Edition"
		older, narrow, branch       = "Older", "Narrow", "Branch"
	)

	leaf := fields(text(1, "a"), varint(2, 7))
	self := func(inner []byte) []byte { return message(111, inner) }
	next := func(inner []byte) []byte { return message(1, inner) }
	anything := func(inner []byte) []byte { return group(1000, inner) }
	known := fields(varint(4, 1), text(14, "a"), text(102, varint(1, 5)), varint(100000, 9))

	return []family{
		{kind: everything, rule: "empty", first: nil, same: map[string][]byte{
			"defaults of fields with implicit presence": fields(varint(3, 0), text(14, ""), fixed64(1, 0), varint(13, 0), varint(16, 0)),
			"an empty packed list":                      text(43, ""),
			"the key":                                   text(18, "key"),
			"an ignored field":                          text(19, "trace"),
			"an ignored list":                           fields(text(61, "\x01\x02"), varint(61, 3), message(62, leaf)),
			"an ignored map":                            message(96, text(1, "k"), message(2, leaf)),
			"an ignored member of a oneof":              varint(77, 1),
			"an ignored field of a high number":         text(100003, "x"),
		}, differ: map[string][]byte{
			"-0":                                        fixed64(1, math.Float64bits(math.Copysign(0, -1))),
			"an optional field with its default":        varint(23, 0),
			"an optional text that is empty":            text(34, ""),
			"an empty message":                          message(17),
			"an empty element":                          text(54, ""),
			"an empty entry":                            message(92),
			"a member of a oneof with its default":      varint(71, 0),
			"an unknown field with what looks like one": varint(38, 0),
			"a message with only what is ignored":       message(17, text(3, "note")),
			"an element with only what is ignored":      message(57, text(3, "note"), message(4, text(1, "id"))),
			"a list of one zero":                        text(43, "\x00"),
		}},
		{kind: everything, rule: "scalars", first: fields(
			fixed64(1, math.Float64bits(1.5)), fixed32(2, math.Float32bits(-2.5)), varint(3, negative(-3)), varint(4, negative(-4)),
			varint(5, 5), varint(6, 1<<63), varint(7, 13), varint(8, 15), fixed32(9, 9), fixed64(10, 10), fixed32(11, 0xfffffff5),
			fixed64(12, negative(-12)), varint(13, 1), text(14, "text"), text(15, "\x00\xff"), varint(16, 2)),
			same: map[string][]byte{
				"backwards": fields(varint(16, 2), text(15, "\x00\xff"), text(14, "text"), varint(13, 1), fixed64(12, negative(-12)),
					fixed32(11, 0xfffffff5), fixed64(10, 10), fixed32(9, 9), varint(8, 15), varint(7, 13), varint(6, 1<<63), varint(5, 5),
					varint(4, negative(-4)), varint(3, negative(-3)), fixed32(2, math.Float32bits(-2.5)), fixed64(1, math.Float64bits(1.5))),
			}},
		{kind: everything, rule: "a negative enum", first: varint(16, negative(-1)), differ: map[string][]byte{
			"one that is unknown": varint(16, 77), "the same number in another field": varint(36, negative(-1)),
		}},
		{kind: everything, rule: "an int32", first: varint(3, 300), same: map[string][]byte{
			"in more bytes":               fields([]byte{0x18, 0xac, 0x82, 0x00}),
			"with a longer tag":           fields([]byte{0x98, 0x80, 0x00, 0xac, 0x02}),
			"sent twice, the last counts": fields(varint(3, 1), varint(3, 300)),
		}, differ: map[string][]byte{
			"another value": varint(3, 301), "as an optional one": varint(23, 300), "and an unknown field": fields(varint(3, 300), varint(38, 1)),
		}},
		{kind: everything, rule: "a NaN", first: fixed64(1, 0x7ff8000000000000), differ: map[string][]byte{
			"with other bits": fixed64(1, 0x7ff8000000000001), "of 32 bits": fixed32(2, 0x7fc00000),
		}},
		{kind: everything, rule: "numbers out of their ranges", first: fields(
			varint(3, negative(-1)), varint(5, 7), varint(7, 3), varint(13, 1), varint(16, 2), text(43, "\x07")), same: map[string][]byte{
			"as they are sent": fields(
				varint(3, 1<<32-1), varint(5, 1<<32+7), varint(7, 1<<40+3), varint(13, 1<<40), varint(16, 1<<63+2), varint(43, 1<<32+7)),
		}},
		{kind: everything, rule: "a packed list", first: text(43, "\x01\x02\xac\x02"), same: map[string][]byte{
			"not packed":                 fields(varint(43, 1), varint(43, 2), varint(43, 300)),
			"in pieces":                  fields(text(43, "\x01"), text(43, ""), varint(43, 2), text(43, "\xac\x82\x00")),
			"with another field between": fields(text(43, "\x01\x02"), text(19, "trace"), varint(43, 300)),
		}, differ: map[string][]byte{
			"in another order": text(43, "\x02\x01\xac\x02"), "with a zero more": text(43, "\x01\x02\xac\x02\x00"),
		}},
		{kind: everything, rule: "a list that is declared as not packed", first: fields(fixed64(59, 1), fixed64(59, 2)),
			same: map[string][]byte{
				"packed": text(59, "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"),
			}},
		{kind: everything, rule: "texts", first: fields(text(54, "a"), text(54, ""), text(54, "é")), differ: map[string][]byte{
			"in another order": fields(text(54, "é"), text(54, ""), text(54, "a")), "joined": text(54, "aé"),
			"as bytes": fields(text(55, "a"), text(55, ""), text(55, "é")), "in another form of Unicode": fields(text(54, "a"), text(54, ""),
				text(54, "e\u0301")),
		}},
		{kind: everything, rule: "a message", first: message(17, leaf), same: map[string][]byte{
			"in two pieces":       fields(message(17, varint(2, 7)), message(17, text(1, "a"))),
			"backwards":           message(17, varint(2, 7), text(1, "a")),
			"with ignored fields": message(17, text(3, "note"), leaf, message(4, varint(2, 1))),
		}, differ: map[string][]byte{
			"in a list": message(57, leaf), "by another field": message(74, leaf), "within another": self(message(17, leaf)),
			"with an unknown field": message(17, leaf, text(200, "x")),
		}},
		{kind: everything, rule: "the key below the request", first: self(text(18, "key")), differ: map[string][]byte{
			"another one": self(text(18, "yek")), "at another place": message(94, text(1, ""), message(2, text(18, "key"))),
			"in a message that could be a request": message(17, message(6, text(1, "key"))),
		}},
		{kind: everything, rule: "ignored at every level", first: fields(
			message(93, text(1, "k"), message(2, leaf)), message(112, message(17, leaf)), message(113, message(1, varint(6, 1)))),
			same: map[string][]byte{"all of them": fields(
				text(19, "t"), message(93, text(1, "k"), message(2, leaf, text(3, "n"))),
				message(112, message(17, text(3, "n"), leaf), text(19, "t"), text(100003, "f")),
				message(113, message(1, varint(6, 1), text(7, "s")), text(7, "s")))}},
		{kind: everything, rule: "a oneof", first: text(20, "x"), same: map[string][]byte{
			"the last member counts": fields(varint(71, 3), text(20, "x")),
		}, differ: map[string][]byte{"another member": text(130, "x")}},
		{kind: everything, rule: "members of oneofs in the order of numbers", first: fields(text(14, "a"), varint(40, 1), varint(43, 1),
			message(81)),
			same: map[string][]byte{"backwards": fields(message(81), varint(43, 1), varint(40, 1), text(14, "a"))}},
		{kind: everything, rule: "a map with texts", first: fields(
			message(92, text(1, ""), text(2, "0")), message(92, text(1, "B"), text(2, "1")), message(92, text(1, "a"), text(2, "2")),
			message(92, text(1, "é"), text(2, "3")), message(92, text(1, "\uffff"), text(2, "4")), message(92, text(1, "\U00010000"), text(2,
				"5"))),
			same: map[string][]byte{"shuffled, without defaults, values first": fields(
				message(92, text(2, "5"), text(1, "\U00010000")), message(92, text(1, "é"), text(2, "x")), message(92, text(2, "4"), text(1,
					"\uffff")),
				message(92, text(2, "2"), text(1, "a")), message(92, text(2, "1"), text(1, "B")), message(92, text(1, "é"), text(2, "3")),
				message(92, text(2, "0")))},
			differ: map[string][]byte{"with values exchanged": fields(
				message(92, text(1, ""), text(2, "0")), message(92, text(1, "B"), text(2, "2")), message(92, text(1, "a"), text(2, "1")),
				message(92, text(1, "é"), text(2, "3")), message(92, text(1, "\uffff"), text(2, "4")), message(92, text(1, "\U00010000"), text(2,
					"5")))}},
		{kind: everything, rule: "maps with numbers", first: fields(
			message(81, varint(1, negative(-1)), text(2, "a")), message(81, varint(1, 2), text(2, "b")), message(81, varint(1, 10), text(2, "c")),
			message(82, varint(1, negative(-300)), text(2, "a")), message(82, varint(1, 1), text(2, "b")),
			message(83, varint(1, 300), varint(2, 1)), message(83, varint(1, 1<<31), varint(2, 2)),
			message(84, varint(1, 300), fixed64(2, 1)), message(84, varint(1, 1<<63), fixed64(2, 2)),
			message(85, varint(1, 3), varint(2, 1)), message(85, varint(1, 2), varint(2, 2)),
			message(86, varint(1, 3), varint(2, 1)), message(86, varint(1, 2), varint(2, 2)),
			message(87, fixed32(1, 256), fixed32(2, 1)), message(87, fixed32(1, 1<<31), fixed32(2, 2)),
			message(88, fixed64(1, 256), fixed64(2, 1)), message(88, fixed64(1, 1<<63), fixed64(2, 2)),
			message(89, fixed32(1, 1<<31), fixed32(2, 1)), message(89, fixed32(1, 256), fixed32(2, 2)),
			message(90, fixed64(1, 1<<63), varint(2, 1)), message(90, fixed64(1, 256), varint(2, 1)),
			message(91, varint(1, 0), varint(2, 1)), message(91, varint(1, 1), varint(2, 2))),
			same: map[string][]byte{"backwards": fields(
				message(91, varint(1, 1), varint(2, 2)), message(91, varint(2, 1)),
				message(90, fixed64(1, 256), varint(2, 1)), message(90, fixed64(1, 1<<63), varint(2, 1)),
				message(89, fixed32(1, 256), fixed32(2, 2)), message(89, fixed32(1, 1<<31), fixed32(2, 1)),
				message(88, fixed64(1, 1<<63), fixed64(2, 2)), message(88, fixed64(1, 256), fixed64(2, 1)),
				message(87, fixed32(1, 1<<31), fixed32(2, 2)), message(87, fixed32(1, 256), fixed32(2, 1)),
				message(86, varint(1, 2), varint(2, 2)), message(86, varint(1, 3), varint(2, 1)),
				message(85, varint(1, 2), varint(2, 2)), message(85, varint(1, 3), varint(2, 1)),
				message(84, varint(1, 1<<63), fixed64(2, 2)), message(84, varint(1, 300), fixed64(2, 1)),
				message(83, varint(1, 1<<31), varint(2, 2)), message(83, varint(1, 300), varint(2, 1)),
				message(82, varint(1, 1), text(2, "b")), message(82, varint(1, negative(-300)), text(2, "a")),
				message(81, varint(1, 10), text(2, "c")), message(81, varint(1, 2), text(2, "b")), message(81, varint(1, negative(-1)), text(2,
					"a")))}},
		{kind: everything, rule: "an Any", first: message(101, text(1, "type.googleapis.com/a.B"), text(2, "\x10\x01\x08\x02")),
			differ: map[string][]byte{
				"with its fields in order": message(101, text(1, "type.googleapis.com/a.B"), text(2, "\x08\x02\x10\x01")),
				"of another host":          message(101, text(1, "example.com/a.B"), text(2, "\x10\x01\x08\x02")),
			}},
		{kind: everything, rule: "unknown fields", first: fields(varint(38, 300), varint(100000, 1), text(150, "x"), varint(150, 1),
			group(2000, varint(1, 1), varint(2, 2))),
			same: map[string][]byte{
				"in another order": fields(group(2000, varint(2, 2), varint(1, 1)), text(150, "x"), varint(150, 1), varint(100000, 1), varint(38,
					300)),
				"in more bytes": fields([]byte{0xb0, 0x82, 0x00, 0xac, 0x82, 0x80, 0x00}, varint(100000, 1), []byte{0xb2, 0x89, 0x80, 0x00, 0x81,
					0x00, 'x'},
					varint(150, 1), group(2000, varint(1, 1), []byte{0x90, 0x00, 0x82, 0x00})),
			}, differ: map[string][]byte{
				"of one number in another order": fields(varint(38, 300), varint(100000, 1), varint(150, 1), text(150, "x"), group(2000, varint(1,
					1), varint(2, 2))),
			}},
		{kind: everything, rule: "a known field with another type", first: fields(fixed32(3, 5), varint(4, 1)), same: map[string][]byte{
			"behind": fields(varint(4, 1), []byte{0x9d, 0x80, 0x00, 5, 0, 0, 0}),
		}, differ: map[string][]byte{
			"of the right type": fields(varint(3, 5), varint(4, 1)), "and one of the right type": fields(fixed32(3, 5), varint(3, 5), varint(4,
				1)),
		}},
		{kind: everything, rule: "a list with an element of another type", first: fields(varint(43, 1), varint(43, 2), fixed32(43, 5)),
			same: map[string][]byte{
				"in front": fields(fixed32(43, 5), text(43, "\x01\x02")),
			}},
		{kind: everything, rule: "nested 100 deep", first: repeat(99, nil, self)},
		{kind: everything, rule: "nested 101 deep", first: repeat(100, nil, self)},
		{kind: narrow, rule: "unknown groups nested 100 deep", first: repeat(99, nil, anything)},
		{kind: narrow, rule: "unknown groups nested 101 deep", first: repeat(100, nil, anything)},
		{kind: branch, rule: "recursion", first: fields(
			next(varint(6, 1)), message(2, varint(6, 2)), message(2, varint(6, 1)), message(3, varint(1, 1), message(2, next(varint(6, 3)))),
			message(5, varint(6, 1))), same: map[string][]byte{
			"pieces in any order": fields(message(5, varint(6, 1)), message(3, message(2, next(varint(6, 3))), varint(1, 1)),
				message(2, varint(6, 2)), next(varint(6, 1)), message(2, varint(6, 1))),
		}},
		{kind: narrow, rule: "known by nobody", first: known},
		{kind: older, rule: "known by older servers", first: known},
		{kind: legacy, rule: "defaults of proto2", first: fields(varint(1, 0)), differ: map[string][]byte{
			"one that is sent": fields(varint(1, 0), varint(2, 42)), "a text": fields(varint(1, 0), text(3, "text")),
			"an enum": fields(varint(1, 0), varint(6, 2)),
		}},
		{kind: legacy, rule: "lists of proto2", first: fields(varint(1, 1), varint(4, 1), varint(4, 2), text(5, "\x01\x02"), varint(7, 1),
			varint(7, 2)),
			same: map[string][]byte{
				"packed the other way": fields(varint(1, 1), text(4, "\x01\x02"), varint(5, 1), varint(5, 2), text(7, "\x01\x02")),
			}},
		{kind: legacy, rule: "numbers that a closed enum has no constants of", first: fields(varint(1, 1), varint(6, 77),
			text(7, "\x01\x4d\x02"), message(17, text(1, "a"), varint(2, 77))), same: map[string][]byte{
			"not packed, with another field between": fields(varint(7, 1), varint(7, 77), message(17, varint(2, 77), text(1, "a")),
				varint(6, 77), varint(1, 1), varint(7, 2)),
			"the last one counts": fields(varint(1, 1), varint(6, 1), varint(6, 77), text(7, "\x01\x4d\x02"),
				message(17, text(1, "a"), varint(2, 77))),
		}},
		{kind: legacy, rule: "groups", first: fields(varint(1, 1), group(8, varint(1, 5), group(4, varint(1, 1))), group(9, varint(1, 1),
			text(2, "\x01\x00\x00\x00")),
			group(9), group(10, varint(1, 1))), same: map[string][]byte{
			"backwards, with ignored fields": fields(group(16, message(1, varint(1, 1))), group(10, varint(1, 1)), group(9, fixed32(2, 1),
				varint(1, 1)), group(9),
				group(8, text(2, "note"), group(4, varint(1, 1)), varint(1, 5)), varint(1, 1)),
		}, differ: map[string][]byte{"one less": fields(varint(1, 1), group(8, varint(1, 5), group(4, varint(1, 1))), group(9, varint(1, 1),
			text(2, "\x01\x00\x00\x00")), group(10, varint(1, 1)))}},
		{kind: legacy, rule: "extensions", first: fields(varint(1, 1), varint(100, 5), varint(101, 1), varint(101, 2), text(102,
			"\x01\x02"), message(103, leaf), text(104, "x")),
			same: map[string][]byte{
				"in front": fields(text(104, "x"), message(103, leaf), text(102, "\x01\x02"), varint(101, 1), varint(101, 2), varint(100, 5),
					varint(1, 1)),
			}, differ: map[string][]byte{
				"what they ignore counts": fields(varint(1, 1), varint(100, 5), varint(101, 1), varint(101, 2), text(102, "\x01\x02"),
					message(103, leaf, text(3, "note")), text(104, "x")),
			}},
		{kind: edition, rule: "features of editions", first: fields(varint(2, 0), varint(3, 1), varint(3, 2), text(4, "\x01\x02"), group(5,
			varint(1, 1)),
			message(6, varint(1, 1)), message(7, text(1, "a"), message(2, varint(1, 1))), group(8), group(8, varint(1, 1))),
			same: map[string][]byte{
				"otherwise": fields(varint(1, 0), group(8), group(8, varint(1, 1), varint(1, 0), varint(1, 1)), text(3, "\x01\x02"), varint(4, 1),
					varint(4, 2), varint(2, 0),
					message(7, text(1, "a"), message(2, varint(1, 1))), message(6, varint(1, 1)), group(5), group(5, varint(1, 1))),
			}, differ: map[string][]byte{"implicit presence": varint(1, 1), "explicit presence": varint(2, 0)}},
	}
}

// vectorsOf returns the vectors of all families, without the results computed from them.
func vectorsOf(all []family) (vectors []vector) {
	files := map[string]string{"Everything": "everything", "Branch": "everything", "Legacy": "legacy", "Edition": "editions",
		"Older": "older", "Narrow": "older"}

	for _, f := range all {
		add := func(name string, input []byte) *vector {
			vectors = append(vectors, vector{
				Name: name, Type: vectorsPackage + f.kind, Schema: vectorsFolder + files[f.kind] + ".proto", Input: hex.EncodeToString(input),
			})

			return &vectors[len(vectors)-1]
		}

		add(f.rule, f.first)

		for _, name := range sortedKeys(f.same) {
			add(f.rule+": "+name, f.same[name]).SameAs = f.rule
		}

		for _, name := range sortedKeys(f.differ) {
			add(f.rule+": "+name, f.differ[name]).DiffersFrom = f.rule
		}
	}

	i := slices.IndexFunc(vectors, func(v vector) bool { return v.Name == "known by older servers" })
	vectors[i].SameAs = "known by nobody"

	return vectors
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}

	slices.Sort(keys)

	return keys
}

func (v *vector) message(t *testing.T) proto.Message {
	t.Helper()

	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(v.Type))
	if err != nil {
		t.Fatal(err)
	}

	input, err := hex.DecodeString(v.Input)
	if err != nil {
		t.Fatal(err)
	}

	return parse(t, input, kind.New().Interface())
}

func TestVectorsFileIsUpToDate(t *testing.T) {
	file := vectorFile{
		Comment: "Vectors of docs/fingerprint.md. The input is a message as a client might send it.",
		Scheme:  fingerprint.SchemeCanonical, Vectors: vectorsOf(families()),
	}

	for i := range file.Vectors {
		v := &file.Vectors[i]

		form, err := fingerprint.Canonical(nil, v.message(t))
		if err != nil {
			v.Error = "too deep"

			continue
		}

		encoded, sum := hex.EncodeToString(form), sha256.Sum256(form)
		v.Canonical, v.Digest = &encoded, hex.EncodeToString(sum[:])
	}

	out := new(bytes.Buffer)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")

	if err := encoder.Encode(file); err != nil {
		t.Fatal(err)
	}

	if *write {
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if kept, err := os.ReadFile(vectorsFile); err != nil || !bytes.Equal(kept, out.Bytes()) {
		t.Errorf("%s is not what this test makes (%v): write it with -write-vectors", vectorsFile, err)
	}
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}

	var file vectorFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}

	if file.Scheme != fingerprint.SchemeCanonical || len(file.Vectors) < 60 {
		t.Fatalf("%d vectors of scheme %d", len(file.Vectors), file.Scheme)
	}

	if want := vectorsOf(families()); len(want) != len(file.Vectors) {
		t.Errorf("%d vectors instead of %d: write them with -write-vectors", len(file.Vectors), len(want))
	}

	digests := make(map[string]string)

	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			if _, ok := digests[v.Name]; ok {
				t.Error("there are two of that name")
			}

			digests[v.Name] = v.Digest

			if v.Error != "" {
				tooDeep(t, v.message(t))

				return
			}

			for _, msg := range []proto.Message{v.message(t), parse(t, unhex(t, v.Input), dynamic(v.message(t)))} {
				if got := hex.EncodeToString(canonical(t, msg)); got != *v.Canonical {
					t.Errorf("the canonical form is %s, want %s", got, *v.Canonical)
				}

				if digest := of(t, msg); hex.EncodeToString(digest.Sum[:]) != v.Digest {
					t.Errorf("the digest is %x, want %s", digest.Sum, v.Digest)
				}
			}

			if v.SameAs != "" && digests[v.SameAs] != v.Digest {
				t.Errorf("the digest is not that of %q", v.SameAs)
			}

			if other, ok := digests[v.DiffersFrom]; v.DiffersFrom != "" && (!ok || other == v.Digest) {
				t.Errorf("the digest is that of %q", v.DiffersFrom)
			}

			// The canonical form encodes the same request, usually in fewer bytes.
			again := v
			again.Input = *v.Canonical

			if got := hex.EncodeToString(canonical(t, again.message(t))); got != *v.Canonical {
				t.Errorf("the canonical form of the canonical form is %s", got)
			}
		})
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()

	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}

	return data
}
