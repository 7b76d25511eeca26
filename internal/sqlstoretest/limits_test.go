package sqlstoretest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestTheLongestTextAndAnOutcomeOfAMegabyteAreKept(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)
		claim := newClaim()
		claim.Method, claim.ReadableKey = strings.Repeat("é", 1<<15), strings.Repeat("\x00%", 1<<15)
		start(t, s, claim)

		op := completion(claim, "")
		op.Outcome = bytes.Repeat([]byte{0, 0xff, '\\', '\''}, 1<<18)
		res, err := s.Complete(t.Context(), op)
		must(t, res, err)

		res, err = s.Claim(t.Context(), claimOn(claim.Key))
		if err != nil || !bytes.Equal(res.Record.Outcome, op.Outcome) || res.Record.Method != claim.Method ||
			res.Record.ReadableKey != claim.ReadableKey {
			t.Errorf("a replay of %d bytes, with a method of %d and a key of %d, %v",
				len(res.Record.Outcome), len(res.Record.Method), len(res.Record.ReadableKey), err)
		}
	})
}

func TestALongerTextIsRefusedAtOnceAndNothingIsKept(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)
		claim := newClaim()
		claim.ReadableKey = strings.Repeat("k", 1<<16+1)

		if _, err := s.Claim(t.Context(), claim); err == nil || !strings.Contains(err.Error(), "65537") {
			t.Errorf("a claim returned %v", err)
		}

		if _, err := s.Release(t.Context(), release(claim)); err == nil {
			t.Error("a release was accepted")
		}

		if got := lookup(t, s, claim.Key); got.Record.State != store.Absent {
			t.Errorf("the record is %+v", got.Record.State)
		}
	})
}
