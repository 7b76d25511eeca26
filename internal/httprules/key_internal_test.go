package httprules

import (
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"abc", `"abc"`, `"a\"b"`, `"`, `"\`, ` "a" `, `"a";b`, "", "\xff"} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, value string) {
		key, err := ParseKey(value)
		if err != nil {
			if !strings.HasPrefix(strings.Trim(value, " \t"), `"`) {
				t.Errorf("%q is refused, and a raw key is judged by the key rules: %v", value, err)
			}

			return
		}

		if (onlyonce.KeyRules{}).Check(key) != nil {
			return
		}

		// Every key that is accepted can be written as a string, and is the same key.
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := ParseKey(quoted); err != nil || again != key {
			t.Errorf("%q is %q, and %q is %q, %v", value, key, quoted, again, err)
		}
	})
}
