package storetest

import (
	"fmt"

	"github.com/onlyonce-go/onlyonce/store"
)

// The outcomes of the table. A Completed record has theOutcome, and an Unknown record theNote.
const (
	theOutcome   = "outcome\x00\xff"
	otherOutcome = "another outcome"
	theNote      = "what is known"
)

func tableChecks() []check {
	var checks []check

	for _, c := range cells() {
		for _, fence := range c.fences() {
			for _, g := range c.guarantees() {
				one := c
				one.fence, one.under = fence, under(g)
				checks = append(checks, check{one.name(), one.run})
			}
		}
	}

	return checks
}

func (c *cell) fences() []expects {
	named := c.op == claims || c.op == releases
	if c.fence != anyFence || !named {
		return []expects{c.fence}
	}

	return []expects{thisFence, otherFence}
}

func (c *cell) guarantees() []store.Guarantee {
	if c.under != anyGuarantee {
		return []store.Guarantee{store.Guarantee(c.under)}
	}

	return []store.Guarantee{store.AtMostOnce, store.AtLeastOnce, store.ExactlyOnce}
}

func (c *cell) name() string {
	return fmt.Sprintf("%s: %s under %v: %s", c.found, c.does(), store.Guarantee(c.under), c.effect())
}

// does describes the operation that arrives.
func (c *cell) does() string {
	s := fmt.Sprintf("%s by %s", c.op, c.by)
	if c.fence != anyFence {
		s += " " + string(c.fence)
	}

	return s
}

func (c *cell) effect() string {
	switch {
	case !c.applied && c.risen == 0:
		return "nothing changes"
	case !c.applied:
		return fmt.Sprintf("nothing but the fence rises by %d", c.risen)
	case c.risen == 0:
		return c.becomes.String()
	default:
		return fmt.Sprintf("%v and the fence rises by %d", c.becomes, c.risen)
	}
}

func (c *cell) run(x *env) {
	by, before := x.arrange(c.found, store.Guarantee(c.under))
	if c.by == stranger {
		by = x.newClaim()
	}

	by.Guarantee = store.Guarantee(c.under)
	by.Lease = long

	fences := []uint64{before.Fence}
	if c.fence == otherFence {
		// An earlier fence, a later one, and for a record with fence 1 the fence of no record.
		fences = []uint64{before.Fence + 1, before.Fence + 100}
		if before.Fence > 0 {
			fences = append(fences, before.Fence-1, 0)
		}
	}

	for _, fence := range fences {
		by.Fence = fence

		got := c.perform(x, by)
		c.compare(x, by, &before, got)

		if c.applied || c.risen != 0 {
			// Only the first of several fences finds the arranged record.
			break
		}
	}
}

func (c *cell) perform(x *env, by store.Claim) store.Result {
	switch c.op {
	case claims:
		return x.claim(by)
	case renews:
		return x.renew(by, long)
	case completes:
		return x.complete(by, theOutcome)
	case completesOther:
		return x.complete(by, otherOutcome)
	case releases:
		return x.release(by)
	case holds:
		return x.hold(by, theNote)
	default:
		panic("storetest: unknown operation " + c.op)
	}
}

// compare checks the result of the operation, the record afterwards, and a copy of the operation that arrives later.
func (c *cell) compare(x *env, by store.Claim, before *store.Record, got store.Result) {
	x.Helper()

	if got.Record.State != c.becomes {
		x.brokenf(c.rule, "%s changed the record from %v to %v, it must be %v",
			c.does(), before.State, got.Record.State, c.becomes)

		return
	}

	if got.Applied != c.applied {
		x.brokenf(c.rule, "%s on %s: Applied is %t, must be %t", c.does(), c.found, got.Applied, c.applied)
	}

	want := c.want(by, before)
	if d := meaning(&got.Record, &want); d != "" {
		x.brokenf(c.rule, "%s on %s: %s", c.does(), c.found, d)
	}

	if d := everything(new(x.read().Record), &got.Record); d != "" {
		x.brokenf(atomicity, "%s on %s returned another record than it left behind: %s", c.does(), c.found, d)
	}

	again := c.perform(x, by)
	if again.Applied != c.applied {
		x.brokenf(resends, "%s on %s arrived twice: Applied was %t and then %t",
			c.does(), c.found, got.Applied, again.Applied)
	}

	if d := meaning(&again.Record, &got.Record); d != "" {
		x.brokenf(resends, "%s on %s arrived twice, and the copy changed the record: %s", c.does(), c.found, d)
	}
}

// want returns the record that the cell requires.
func (c *cell) want(by store.Claim, before *store.Record) store.Record {
	want := *before
	want.State = c.becomes
	want.Fence += c.risen

	if !c.applied {
		return want
	}

	want.Token = by.Token

	switch c.op {
	case claims:
		if c.by == stranger {
			want.Attempts, want.Outcome = 1, by.Note
			if c.found == ended {
				want.Attempts = before.Attempts + 1
				want.Doubtful = true
			}
		}
	case completes:
		want.Outcome = []byte(theOutcome)
	case holds:
		want.Outcome = []byte(theNote)
	case releases:
		if c.found != released {
			want.Outcome = nil
		}
	case renews, completesOther:
	}

	if c.found == absent {
		want.Guarantee, want.Fingerprint = by.Guarantee, by.Fingerprint
		want.Method, want.ReadableKey = by.Method, by.ReadableKey
	}

	return want
}

// arrange brings the record into a condition. It returns the claim of its owner and the record.
func (x *env) arrange(found condition, g store.Guarantee) (store.Claim, store.Record) {
	x.Helper()

	own := x.newClaim()
	if found == ended {
		own = x.shortClaim()
	}

	own.Guarantee = g

	switch found {
	case absent:
	case alive:
		x.start(own)
	case ended:
		x.startShort(own)
	case held:
		x.start(own)
		x.hold(own, theNote)
	case released:
		x.start(own)
		x.release(own)
	case completed:
		x.start(own)
		x.complete(own, theOutcome)
	}

	return own, x.read().Record
}
