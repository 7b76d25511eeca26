package sqlstoretest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestTheLongestTextAndAnOutcomeOfAMegabyteAreKept(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)

		for name, run := range map[string]func(claim store.Claim, op store.Completion) (store.Result, error){
			"leased": func(claim store.Claim, op store.Completion) (store.Result, error) {
				start(t, s, claim)

				return s.Complete(t.Context(), op)
			},
			"in a transaction": func(claim store.Claim, op store.Completion) (store.Result, error) {
				res, tx, err := s.Begin(t.Context(), claim, time.Second)
				if err != nil || tx == nil {
					t.Fatalf("applied=%t, %v", res.Applied, err)
				}

				return tx.Complete(t.Context(), op, false)
			},
		} {
			claim := newClaim()
			claim.Method, claim.ReadableKey = strings.Repeat("é", 1<<15), strings.Repeat("\x00%", 1<<15)

			op := completion(claim, "")
			op.Outcome = bytes.Repeat([]byte{0, 0xff, '\\', '\''}, 1<<18)
			res, err := run(claim, op)
			must(t, res, err)

			res, err = s.Claim(t.Context(), claimOn(claim.Key))
			if err != nil || !bytes.Equal(res.Record.Outcome, op.Outcome) || res.Record.Method != claim.Method ||
				res.Record.ReadableKey != claim.ReadableKey {
				t.Errorf("%s: a replay of %d bytes, with a method of %d and a key of %d, %v",
					name, len(res.Record.Outcome), len(res.Record.Method), len(res.Record.ReadableKey), err)
			}
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
