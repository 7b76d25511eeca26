package storetest

import (
	"bytes"

	"github.com/onlyonce-go/onlyonce/store"
)

// The notes of claims and of resolutions as released.
const (
	aNote     = "a note\x00\xff"
	otherNote = "another note"
)

func noteChecks() []check {
	var checks []check

	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}

	for _, one := range []struct {
		name string
		note []byte
	}{
		{"none", nil},
		{"an empty one", []byte{}},
		{"a zero byte", []byte{0}},
		{"every byte", all},
		{"300 kB", bytes.Repeat(all, 1200)},
	} {
		checks = append(checks,
			check{one.name + " is kept by a claim byte for byte", func(x *env) { noteClaimed(x, one.note) }},
			check{one.name + " is kept by a resolution as RELEASED byte for byte", func(x *env) { noteResolved(x, one.note) }},
		)
	}

	return append(checks,
		check{"a renewal keeps the note, before and after the end of the lease", noteRenewed},
		check{"a copy of the claim keeps the note, before and after the end of the lease", noteRepeated},
		check{"who loses keeps the note", noteLost},
		check{"whatever ends a run replaces the note", noteEnded},
		check{"a run with a note ends with every receipt alike", noteReceipts},
		check{"a takeover brings its own note", noteTakeover},
		check{"the next run of a released key brings its own note", noteReleased},
		check{"a withdrawn claim leaves no note", noteWithdrawn},
		check{"a resolution replaces the note of the run", noteSettled},
		check{"a copy of a resolution as RELEASED keeps the first note", noteResolvedTwice},
		check{"a listed record has its note", noteListed},
	)
}

// notedClaim returns a claim with a note.
func (x *env) notedClaim() store.Claim {
	claim := x.newClaim()
	claim.Note = []byte(aNote)

	return claim
}

// shortNotedClaim returns a short claim with a note.
func (x *env) shortNotedClaim() store.Claim {
	claim := x.shortClaim()
	claim.Note = []byte(aNote)

	return claim
}

// noted checks the note in a result and in the store.
func (x *env) noted(what string, got store.Result, note []byte) {
	x.Helper()

	for where, rec := range map[string]*store.Record{"the answer to ": &got.Record, "the record after ": new(x.read().Record)} {
		if !bytes.Equal(rec.Outcome, note) {
			x.brokenf(notes, "%s%s: the outcome of the %v record is %s, must be %s", where, what, rec.State, brief(rec.Outcome), brief(note))
		}
	}
}

func noteClaimed(x *env, note []byte) {
	claim := x.newClaim()
	claim.Note = note

	x.noted("a first claim", x.start(claim), note)
	x.noted("a claim that loses", x.claim(x.newClaim()), note)

	if x.can.Inspector != nil {
		res, err := x.can.Inspector.Lookup(x.ctx, x.key)
		x.noted("a lookup", x.must("Lookup", res, err), note)
	}

	x.release(claim)

	next := x.newClaim()
	next.Note, next.Fence = note, 1
	x.noted("a claim of a released key", x.start(next), note)
	x.noted("a completion", x.complete(next, theOutcome), []byte(theOutcome))
}

// resolveAs settles a run whose owner cannot be alive.
func (x *env) resolveAs(owner store.Claim, state store.State, outcome []byte) store.Result {
	x.Helper()

	res, err := x.can.Inspector.Resolve(x.ctx, store.Resolution{
		Key: owner.Key, Token: owner.Token, Fence: 1, State: state, Outcome: outcome,
	})

	return x.must("Resolve", res, err)
}

// inspects reports whether the store can resolve.
func (x *env) inspects() bool {
	if x.can.Inspector == nil {
		x.Logf("%T has no store.Inspector", x.raw)
	}

	return x.can.Inspector != nil
}

func noteResolved(x *env, note []byte) {
	if !x.inspects() {
		return
	}

	claim := x.shortNotedClaim()
	x.startShort(claim)

	x.noted("a resolution as RELEASED", x.resolveAs(claim, store.Released, note), note)

	next := x.newClaim()
	next.Fence = 1
	x.noted("a claim without a note of what was resolved", x.start(next), nil)
}

func noteRenewed(x *env) {
	claim := x.notedClaim()
	x.start(claim)
	x.noted("a renewal", x.renew(claim, 2*long), claim.Note)
	x.noted("a completion after a renewal", x.complete(claim, theOutcome), []byte(theOutcome))

	x.newKey()

	claim = x.shortNotedClaim()
	x.startShort(claim)
	x.noted("a renewal after the end of the lease", x.renew(claim, long), claim.Note)
	x.noted("a completion after that", x.complete(claim, theOutcome), []byte(theOutcome))
}

func noteRepeated(x *env) {
	claim := x.notedClaim()
	x.start(claim)

	for range copies {
		x.noted("a copy of the claim", x.claim(claim), claim.Note)
	}

	x.newKey()

	claim = x.shortNotedClaim()
	x.startShort(claim)

	for range copies {
		claim.Lease = long
		x.noted("a copy of the claim after the end of the lease", x.claim(claim), claim.Note)
	}

	x.complete(claim, theOutcome)
	x.noted("a copy of the claim after the completion", x.claim(claim), []byte(theOutcome))
}

func noteLost(x *env) {
	claim := x.notedClaim()
	x.start(claim)

	other := x.newClaim()
	other.Note, other.Fence = []byte(otherNote), 1

	x.noted("a claim that loses", x.claim(other), claim.Note)
	x.noted("a renewal by somebody else", x.renew(other, long), claim.Note)
	x.noted("a completion by somebody else", x.complete(other, theOutcome), claim.Note)
	x.noted("a hold by somebody else", x.hold(other, theNote), claim.Note)
	x.noted("the withdrawal of a claim that has lost", x.release(other), claim.Note)
	x.noted("a completion by the owner", x.complete(claim, theOutcome), []byte(theOutcome))
}

func noteEnded(x *env) {
	for _, begin := range []func() store.Claim{
		func() store.Claim {
			claim := x.notedClaim()
			x.start(claim)

			return claim
		},
		func() store.Claim {
			claim := x.shortNotedClaim()
			x.startShort(claim)

			return claim
		},
	} {
		x.newKey()
		x.noted("a completion", x.complete(begin(), theOutcome), []byte(theOutcome))

		x.newKey()
		x.noted("a completion without an outcome", x.complete(begin(), ""), nil)

		x.newKey()
		x.noted("a release", x.release(begin()), nil)

		x.newKey()
		x.noted("an ambiguous release", x.releaseAmbiguous(begin()), nil)

		x.newKey()

		claim := begin()
		x.noted("a hold", x.hold(claim, theNote), []byte(theNote))
		x.noted("a completion after a hold", x.complete(claim, theOutcome), []byte(theOutcome))

		x.newKey()
		x.noted("a hold without a note", x.hold(begin(), ""), nil)
	}
}

func noteReceipts(x *env) {
	receiptsOf(x, x.notedClaim)
}

func noteTakeover(x *env) {
	for _, note := range [][]byte{[]byte(otherNote), nil} {
		x.newKey()

		first := x.shortNotedClaim()
		x.startShort(first)

		second := x.newClaim()
		second.Note, second.Fence = note, 1
		x.noted("a takeover", x.start(second), note)
		x.noted("a completion after a takeover", x.complete(second, theOutcome), []byte(theOutcome))
	}
}

func noteReleased(x *env) {
	for _, note := range [][]byte{[]byte(otherNote), nil} {
		x.newKey()

		first := x.notedClaim()
		x.start(first)
		x.release(first)

		second := x.newClaim()
		second.Note, second.Fence = note, 1
		x.noted("the next run of a released key", x.start(second), note)
		x.noted("a completion by its owner", x.complete(second, theOutcome), []byte(theOutcome))
	}
}

func noteWithdrawn(x *env) {
	claim := x.notedClaim()
	x.noted("the withdrawal of a claim that has not arrived", x.release(claim), nil)
	x.noted("the claim that arrives after it", x.claim(claim), nil)

	next := x.notedClaim()
	next.Fence = 1
	x.noted("the next run", x.start(next), next.Note)
}

func noteSettled(x *env) {
	if !x.inspects() {
		return
	}

	claim := x.shortNotedClaim()
	x.startShort(claim)
	x.noted("a resolution as COMPLETED", x.resolveAs(claim, store.Completed, []byte(theOutcome)), []byte(theOutcome))

	x.newKey()

	claim = x.shortNotedClaim()
	x.startShort(claim)
	x.hold(claim, theNote)
	x.noted("a resolution as RELEASED after a hold", x.resolveAs(claim, store.Released, []byte(otherNote)), []byte(otherNote))
	x.noted("the late completion of its owner", x.complete(claim, theOutcome), []byte(otherNote))
	x.noted("the late release of its owner", x.release(claim), []byte(otherNote))
}

func noteResolvedTwice(x *env) {
	if !x.inspects() {
		return
	}

	for _, first := range [][]byte{[]byte(aNote), nil} {
		x.newKey()

		claim := x.shortClaim()
		x.startShort(claim)
		x.resolveAs(claim, store.Released, first)

		for _, again := range [][]byte{first, []byte(otherNote), nil} {
			got := x.resolveAs(claim, store.Released, again)
			if !got.Applied {
				x.brokenf(resends, "a copy of a resolution as RELEASED is refused")
			}

			x.noted("a copy of a resolution as RELEASED", got, first)
		}
	}
}

func completeNoted(x *transacted) {
	claim := x.notedClaim()
	got := x.open(claim)

	if !bytes.Equal(got.res.Record.Outcome, claim.Note) {
		x.brokenf(notes, "Begin returned a record with the note %s, must be %s", brief(got.res.Record.Outcome), brief(claim.Note))
	}

	x.rollBack(got.tx)
	x.noted("a rollback", x.read(), nil)

	for _, undo := range []bool{false, true} {
		x.newKey()

		claim.Key = x.key
		got = x.open(claim)
		x.noted("a completion", x.commit(got.tx, claim, undo), []byte(theOutcome))
	}

	x.newKey()

	// The next run finds a note.
	first := x.notedClaim()
	x.start(first)
	x.release(first)

	claim.Key, claim.Token, claim.Fence = x.key, newToken(), 1
	got = x.open(claim)
	x.noted("the completion of the next run", x.commit(got.tx, claim, false), []byte(theOutcome))
}

func noteListed(x *env) {
	if x.can.Lister == nil {
		x.Logf("%T has no store.Lister", x.raw)

		return
	}

	lists := &listed{x, x.can.Lister}
	running := x.notedClaim()
	x.start(running)

	if got := lists.list(x.can.Lister.ListRunning)[x.key]; !bytes.Equal(got.Record.Outcome, running.Note) {
		x.brokenf(notes, "ListRunning has the note %s, must be %s", brief(got.Record.Outcome), brief(running.Note))
	}

	x.newKey()

	over := x.shortNotedClaim()
	x.startShort(over)

	if got := lists.list(x.can.Lister.ListUnknown)[x.key]; !bytes.Equal(got.Record.Outcome, over.Note) {
		x.brokenf(notes, "ListUnknown has the note %s, must be %s", brief(got.Record.Outcome), brief(over.Note))
	}
}
