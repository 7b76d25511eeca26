package onlyonce

import (
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestKeyRulesAcceptAndRefuse(t *testing.T) {
	t.Parallel()

	contract, strict := KeyRules{}, StrictKeys()

	for _, tt := range []struct {
		name  string
		rules KeyRules
		key   string
		want  string // a part of the error, or empty
	}{
		{"empty", contract, "", "invalid idempotency key: length 0; use 1 to 255 characters"},
		{"one character", contract, "!", ""},
		{"last character", contract, "~", ""},
		{"longest", contract, strings.Repeat("k", 255), ""},
		{"too long", contract, strings.Repeat("k", 256), "invalid idempotency key: length 256; use 1 to 255 characters"},
		{"space", contract, "a b", "invalid idempotency key: character ' ' at position 2; use printable ASCII without spaces"},
		{"tab", contract, "ab\t", `character '\t' at position 3`},
		{"newline", contract, "\n", `character '\n' at position 1`},
		{"nul", contract, "a\x00", `character '\x00' at position 2`},
		{"delete", contract, "a\x7f", `character '\x7f' at position 2`},
		{"not ASCII", contract, "schlüssel", "character 'ü' at position 5"},
		{"not UTF-8", contract, "a\xff", "byte 0xff at position 2"},
		{"case counts", contract, "aA", ""},
		{"strict", strict, "0123-4567_AZaz", ""},
		{"strict, shortest", strict, "0123456789", ""},
		{"strict, too short", strict, "012345678", "length 9; use 10 to 64 characters"},
		{"strict, longest", strict, strings.Repeat("k", 64), ""},
		{"strict, too long", strict, strings.Repeat("k", 65), "10 to 64"},
		{"strict, outside", strict, "0123456789.", "character '.' at position 11; use characters of ABC"},
	} {
		err := tt.rules.Check(tt.key)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestKeyRulesThatCannotHoldAreReported(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name  string
		rules KeyRules
		want  string
	}{
		{"zero", KeyRules{}, ""},
		{"strict", StrictKeys(), ""},
		{"one length", KeyRules{MinLength: 36, MaxLength: 36}, ""},
		{"negative", KeyRules{MinLength: -1}, "give 1 <= MinLength"},
		{"negative longest", KeyRules{MaxLength: -1}, "give 1 <= MinLength"},
		{"upside down", KeyRules{MinLength: 10, MaxLength: 9}, "MinLength is 10 and MaxLength is 9"},
		{"looser than the contract", KeyRules{MaxLength: 256}, "<= 255"},
		{"alphabet with a space", KeyRules{Alphabet: "abc d"}, `Alphabet has " d"`},
		{"alphabet beyond ASCII", KeyRules{Alphabet: "abcß"}, `Alphabet has "ß"`},
	} {
		err := tt.rules.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzKeyRulesAreStricterThanTheContract(f *testing.F) {
	f.Add("0123456789", 10, 64, "abc")
	f.Add("", 0, 0, "")
	f.Add("\xff", 1, 300, "\xff")

	f.Fuzz(func(t *testing.T, key string, low, high int, alphabet string) {
		rules := KeyRules{MinLength: low, MaxLength: high, Alphabet: alphabet}
		if rules.Validate() != nil || rules.Check(key) != nil {
			return
		}

		if len(key) < 1 || len(key) > MaxKeyLength {
			t.Errorf("%+v accepts a key of %d bytes", rules, len(key))
		}

		for i := range len(key) {
			if key[i] < 0x21 || key[i] > 0x7e {
				t.Errorf("%+v accepts %q", rules, key)
			}
		}
	})
}

func TestStorageKeysOfDifferentIdentitiesDiffer(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("k", 255)
	seen := make(map[store.Key][3]string)

	for _, id := range [][3]string{
		{"", "", ""},
		{"a", "", ""},
		{"", "a", ""},
		{"", "", "a"},
		{"a", "bc", ""},
		{"ab", "c", ""},
		{"ab", "", "c"},
		{"a", "b", "c"},
		{"", "abc", ""},
		{"", "", "abc"},
		{"a\x00", "b", "c"},
		{"a", "\x00b", "c"},
		{"\x00\x00\x00\x00\x00\x00\x00\x01a", "b", "c"},
		{"a", "\x00\x00\x00\x00\x00\x00\x00\x01b", ""},
		{strings.Repeat("s", 600), "m", "k"}, // longer than any buffer
		{strings.Repeat("s", 600), "mk", ""},
		{strings.Repeat("s", 599), "sm", "k"},
		{long, long, long},
		{long + "k", long[1:], long},
	} {
		key := storageKey(id[0], id[1], id[2])
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q have one storage key", id, other)
		}

		seen[key] = id
	}
}

func FuzzStorageKeysOfDifferentIdentitiesDiffer(f *testing.F) {
	f.Add("a", "bc", "d", "ab", "c", "d")
	f.Add("", "", "\x00", "", "\x00", "")

	f.Fuzz(func(t *testing.T, scope, method, key, otherScope, otherMethod, otherKey string) {
		same := scope == otherScope && method == otherMethod && key == otherKey
		if (storageKey(scope, method, key) == storageKey(otherScope, otherMethod, otherKey)) != same {
			t.Errorf("%q %q %q and %q %q %q", scope, method, key, otherScope, otherMethod, otherKey)
		}
	})
}

// Records outlive a deployment, so the way to their names may not change.
func TestStorageKeyIsTheSameInEveryBuild(t *testing.T) {
	t.Parallel()

	const want = "e240ed3d056e5ee925ed9e280895835d00c149ddb9c2005c97ba793bb83be5b2"
	if got := storageKey("ann", "/bank.Payments/Pay", "k-1").String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
