package onlyonce

import (
	"hash/fnv"
	"strings"
	"testing"
)

// Records of a store that other builds share are counted under these numbers.
func TestScopesHaveTheNumbersThatFNVGivesThem(t *testing.T) {
	t.Parallel()

	if n := scopeNumber(""); n != 0 {
		t.Errorf("the scope of callers who share one has number %d, want 0", n)
	}

	for _, scope := range []string{"a", "shared", "spiffe://bank.example/ns/pay", "5:alice4:acme", "\x00\xff", strings.Repeat("long ", 1000)} {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(scope))

		if got, want := scopeNumber(scope), hash.Sum64(); got != want {
			t.Errorf("scope %.20q has number %d, want %d", scope, got, want)
		}
	}
}
