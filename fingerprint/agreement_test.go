package fingerprint_test

import (
	"testing"

	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// The cases of docs/fingerprint.md: forms of a field for which a build that knows the field and a build that does not
// disagree, and the form in which they agree.
func TestOldAndNewBuildsDisagreeOnlyWhereTheDefinitionAllowsIt(t *testing.T) {
	entry := func(key, value string) []byte { return message(92, text(1, key), text(2, value)) }
	oneTwo := fields(entry("a", "1"), entry("b", "2"))

	for name, c := range map[string]struct{ apart, agreed []byte }{
		"a map that is not in order":        {fields(entry("b", "2"), entry("a", "1")), oneTwo},
		"a map with a key twice":            {fields(entry("a", "0"), oneTwo), oneTwo},
		"an entry without its default":      {message(92, text(1, "a")), entry("a", "")},
		"an entry with its value in front":  {message(92, text(2, "1"), text(1, "a")), entry("a", "1")},
		"an entry with another field":       {message(92, text(1, "a"), text(2, "1"), varint(3, 1)), entry("a", "1")},
		"an unpacked list":                  {fields(varint(43, 1), varint(43, 2)), text(43, "\x01\x02")},
		"a packed list in pieces":           {fields(text(43, "\x01"), text(43, "\x02")), text(43, "\x01\x02")},
		"an empty packed list":              {text(43, ""), nil},
		"a packed list with longer varints": {text(43, "\x81\x00\x02"), text(43, "\x01\x02")},
		"a message that is not in order":    {message(17, varint(2, 7), text(1, "a")), message(17, text(1, "a"), varint(2, 7))},
		"a message with longer varints":     {message(17, []byte{0x10, 0x87, 0x00}), message(17, varint(2, 7))},
		"a message with a list in it":       {message(17, varint(5, 1), varint(5, 2)), message(17, text(5, "\x01\x02"))},
		"a field that is sent twice":        {fields(varint(3, 1), varint(3, 2)), varint(3, 2)},
		"a message in two pieces": {
			fields(message(17, text(1, "a")), message(17, varint(2, 7))), message(17, text(1, "a"), varint(2, 7)),
		},
		"members of a oneof":                       {fields(text(20, "x"), varint(71, 3)), varint(71, 3)},
		"a field with several wire types":          {fields(fixed32(3, 5), varint(3, 5)), fields(varint(3, 5), fixed32(3, 5))},
		"a default of implicit presence":           {varint(3, 0), nil},
		"an int32 out of its range":                {varint(3, 1<<32-1), varint(3, negative(-1))},
		"a uint32 out of its range":                {varint(5, 1<<32+7), varint(5, 7)},
		"a sint32 out of its range":                {varint(7, 1<<40+3), varint(7, 3)},
		"a bool out of its range":                  {varint(13, 2), varint(13, 1)},
		"an enum out of its range":                 {varint(16, 1<<63+2), varint(16, 2)},
		"a key that one of them does not know":     {text(18, "key"), nil},
		"a field that one of them does not ignore": {text(19, "trace"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			// Other fields around it.
			around := func(field []byte) []byte { return fields(varint(2000, 1), field, varint(38, 1)) }
			newer := func(field []byte) [32]byte { return of(t, parse(t, around(field), new(vectors.Everything))).Sum }
			older := func(field []byte) [32]byte { return of(t, parse(t, around(field), new(vectors.Narrow))).Sum }

			if newer(c.apart) == older(c.apart) {
				t.Error("they agree, and the definition says that they cannot")
			}

			if newer(c.apart) != newer(c.agreed) {
				t.Error("to the build that knows the field it is another request")
			}

			if newer(c.agreed) != older(c.agreed) {
				t.Error("they do not agree where the field is sent in its canonical form")
			}
		})
	}
}

// Open enums and closed ones: the number counts.
func TestOldAndNewBuildsAgreeOnNumbersThatAnEnumHasNoConstantsOf(t *testing.T) {
	for name, field := range map[string][]byte{
		"closed": varint(6, 77), "closed, in a list": text(7, "\x01\x4d\x02"), "closed, in a map": message(17, text(1, "a"), varint(2, 77)),
	} {
		wire := fields(varint(1, 1), field)
		if of(t, parse(t, wire, new(vectors.Legacy))) != of(t, parse(t, wire, new(vectors.Narrow))) {
			t.Errorf("%s: they do not agree", name)
		}
	}

	open := varint(16, 77)
	if of(t, parse(t, open, new(vectors.Everything))) != of(t, parse(t, open, new(vectors.Narrow))) {
		t.Error("open: they do not agree")
	}
}
