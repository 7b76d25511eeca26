package storetest

import (
	"bytes"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

func outcomeChecks() []check {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}

	var checks []check

	for _, one := range []struct {
		name    string
		outcome []byte
	}{
		{"nil", nil},
		{"an empty one", []byte{}},
		{"a zero byte", []byte{0}},
		{"every byte", all},
		{"invalid UTF-8", []byte("\xff\xfe\xed\xa0\x80")},
		{"quotes, line ends and a format verb", []byte("'\"\\\r\n;%s$1{}\x1a")},
		{"300 kB", bytes.Repeat(all, 1200)},
	} {
		checks = append(checks,
			check{one.name + " is replayed byte for byte", func(x *env) { outcomeReplayed(x, one.outcome) }},
			check{one.name + " is kept by a hold byte for byte", func(x *env) { outcomeHeld(x, one.outcome) }},
		)
	}

	return append(checks,
		check{"nil and empty are the same outcome", outcomeEmpty},
		check{"a completion replaces what a hold knew", outcomeReplaced},
		check{"method and readable key are kept in every state", outcomeLabels},
		check{"method and readable key may be empty", outcomeNoLabels},
		check{"a readable key may hold whatever can be printed", outcomeOddLabels},
	)
}

func (x *env) sameOutcome(what string, got store.Result, outcome []byte) {
	x.Helper()

	if !bytes.Equal(got.Record.Outcome, outcome) {
		x.brokenf(contents, "%s: the outcome is %s, must be %s", what, brief(got.Record.Outcome), brief(outcome))
	}
}

func outcomeReplayed(x *env, outcome []byte) {
	claim := x.newClaim()
	x.start(claim)

	op := store.Completion{Key: x.key, Token: claim.Token, Outcome: outcome}
	res, err := x.store.Complete(x.ctx, op)
	x.sameOutcome("a completion", x.must("Complete", res, err), outcome)
	x.sameOutcome("a claim of a COMPLETED key", x.claim(x.newClaim()), outcome)

	res, err = x.store.Complete(x.ctx, op)
	if res = x.must("Complete", res, err); !res.Applied {
		x.brokenf(resends, "the copy of a completion with the outcome %s is not recognised", brief(outcome))
	}

	op.Outcome = append(bytes.Clone(outcome), 0)
	res, err = x.store.Complete(x.ctx, op)

	if res = x.must("Complete", res, err); res.Applied {
		x.brokenf(resends, "an outcome that is one zero byte longer is taken for the recorded one")
	}

	x.sameOutcome("another completion", res, outcome)
}

func outcomeHeld(x *env, outcome []byte) {
	claim := x.newClaim()
	x.start(claim)

	res, err := x.store.Hold(x.ctx, store.Hold{Key: x.key, Token: claim.Token, Outcome: outcome})
	x.sameOutcome("a hold", x.must("Hold", res, err), outcome)
	x.sameOutcome("a claim of an UNKNOWN key", x.claim(x.newClaim()), outcome)
}

func outcomeEmpty(x *env) {
	for _, order := range [][2][]byte{{nil, {}}, {{}, nil}} {
		x.newKey()

		claim := x.newClaim()
		x.start(claim)

		for _, outcome := range order {
			res, err := x.store.Complete(x.ctx, store.Completion{Key: x.key, Token: claim.Token, Outcome: outcome})
			if !x.must("Complete", res, err).Applied {
				x.brokenf(resends, "nil and an empty outcome are taken for different ones")
			}
		}
	}
}

func outcomeReplaced(x *env) {
	claim := x.newClaim()
	x.start(claim)
	x.hold(claim, theNote)
	x.expect(settlement, "the owner's completion after a hold", x.complete(claim, theOutcome),
		want{true, store.Completed, claim.Token, 1, theOutcome})
}

func outcomeLabels(x *env) {
	for _, found := range []condition{alive, ended, held, released, completed} {
		x.newKey()
		own, got := x.arrange(found, store.AtLeastOnce)
		x.labelled(string(found), got, own)
	}

	x.newKey()
	claim := x.newClaim()
	x.labelled("a tombstone", x.release(claim).Record, claim)

	claim.Token, claim.Fence = newToken(), 1
	x.labelled("the next run", x.start(claim).Record, claim)
}

func (x *env) labelled(what string, got store.Record, claim store.Claim) {
	x.Helper()

	if got.Method != claim.Method || got.ReadableKey != claim.ReadableKey {
		x.brokenf(contents, "%s: method and readable key are %q and %q, must be %q and %q",
			what, got.Method, got.ReadableKey, claim.Method, claim.ReadableKey)
	}
}

func outcomeNoLabels(x *env) {
	claim := x.newClaim()
	claim.Method, claim.ReadableKey = "", ""
	x.labelled("a claim", x.start(claim).Record, claim)

	got := x.complete(claim, theOutcome)
	x.labelled("a completion", got.Record, claim)
	x.expect(contents, "the completion of a record without names", got, want{true, store.Completed, claim.Token, 1, theOutcome})
}

func outcomeOddLabels(x *env) {
	for _, readable := range []string{
		" ", "'; DROP TABLE records; --", `"{}\$1%s`, "clé œ 🔑", "a\tb\nc", strings.Repeat("k", 1024),
	} {
		x.newKey()

		claim := x.newClaim()
		claim.ReadableKey = readable
		x.labelled("a claim", x.start(claim).Record, claim)
		x.labelled("a claim that found it", x.claim(x.newClaim()).Record, claim)
	}
}
