package model

import (
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The model's clock stands still. The record has the facts about time.
const (
	lease  = time.Second
	maxRun = time.Second
	day    = 24 * time.Hour // retentions are counted in days
)

func now() time.Time { return time.Unix(1_000_000, 0) }

func tokenOf(call uint8) store.Token { return store.Token{call} }

func fingerprintOf(request uint8) store.Fingerprint {
	return store.Fingerprint{Scheme: 1, Sum: [32]byte{request}}
}

// concrete converts the record for the transition table.
func (r *record) concrete() store.Record {
	if r.state == store.Absent {
		return store.Record{}
	}

	rec := store.Record{
		State: r.state, Token: tokenOf(r.owner), Fence: uint64(r.fence), Guarantee: 0,
		LeaseUntil: now(), OwnerAliveUntil: now(),
		Retention: time.Duration(r.days) * day, Attempts: uint32(r.attempts), Resolved: r.resolved, Doubtful: r.doubtful,
		Fingerprint: fingerprintOf(r.request),
	}
	if r.started {
		rec.FirstStart, rec.LastStart = now(), now()
	}

	if r.leaseAlive {
		rec.LeaseUntil = now().Add(lease)
	}

	if r.ownerAlive {
		rec.OwnerAliveUntil = now().Add(maxRun + lease)
	}

	if r.outcome != 0 {
		rec.Outcome = []byte{r.outcome}
	}

	if r.state == store.Completed || r.state == store.Released {
		rec.ExpiresAt = now().Add(time.Duration(r.kept) * day)
	}

	return rec
}

// abstract is the record in the model's facts.
func abstract(rec *store.Record) record {
	if rec.State == store.Absent {
		return record{}
	}

	r := record{
		state: rec.State, owner: rec.Token[0], fence: uint8(rec.Fence), //nolint:gosec // bounded by maxFence
		resolved: rec.Resolved, doubtful: rec.Doubtful, started: !rec.FirstStart.IsZero(),
		leaseAlive: rec.LeaseAlive(now()), attempts: uint8(rec.Attempts), //nolint:gosec // bounded by calls
	}
	if rec.State == store.Running || rec.State == store.Unknown {
		r.ownerAlive = now().Before(rec.OwnerAliveUntil)
	}

	r.request = rec.Fingerprint.Sum[0]
	r.days = uint8(rec.Retention / day) //nolint:gosec // a few

	if rec.State == store.Completed || rec.State == store.Released {
		r.kept = uint8(rec.ExpiresAt.Sub(now()) / day) //nolint:gosec // a few
	}

	if len(rec.Outcome) > 0 {
		r.outcome = rec.Outcome[0]
	}

	return r
}

// message is an operation on its way to the store.
type message struct {
	call uint8 // 0 for the operator's
	kind kind
	// owner is the owner of the record that a forgetting names.
	owner uint8
	// fence is the fence that a claim, a release or a resolution expects.
	fence uint8
	// as is the state that a resolution sets.
	as store.State
	// ambiguous is set if a release reports an ambiguous run.
	ambiguous bool
}

type kind uint8

const (
	claim kind = iota
	renew
	complete
	release
	hold
	resolve
	forget
)

// apply applies a message as the store does. If the checker turns a rule off, apply ignores that rule.
func (c *checker) apply(s *state, m message) (record, bool) {
	before := s.record

	if c.fault == ExpiryWithLease && before.state == store.Running && !before.leaseAlive {
		before = record{}
	}

	rec := before.concrete()
	if before.state != store.Absent {
		rec.Guarantee = c.guarantee
	}

	t := c.decide(s, rec, m)
	after := abstract(&t.Record)

	return c.breakRule(before, after, m, t.Applied)
}

func (c *checker) claimOf(s *state, call, fence uint8) store.Claim {
	days := uint8(engineDays)
	if call != operator {
		days = s.call(call).days
	}

	return store.Claim{
		Token: tokenOf(call), Fence: uint64(fence), Guarantee: c.guarantee, Lease: lease, MaxRun: maxRun,
		MaxAttempts: c.maxAttempts, Retention: time.Duration(days) * day, Fingerprint: fingerprintOf(c.requestOf(call)),
	}
}

func (c *checker) decide(s *state, rec store.Record, m message) store.Transition {
	switch m.kind {
	case claim:
		op := c.claimOf(s, m.call, m.fence)

		switch {
		case c.fault == FingerprintIgnored:
			op.Fingerprint = rec.Fingerprint
		case c.fault == ClaimWithoutFence && rec.State != store.Absent:
			op.Fence = rec.Fence
		case c.fault == TakeoverAtMostOnce:
			rec.Guarantee, op.Guarantee = store.AtLeastOnce, store.AtLeastOnce
		case c.fault == OwnClaimUnknown && rec.State == store.Running && rec.Token == op.Token:
			return store.Transition{Record: rec}
		}

		return op.Apply(rec, now())
	case renew:
		op := store.Renewal{Token: tokenOf(m.call), Lease: lease}

		return op.Apply(rec, now())
	case complete:
		op := store.Completion{Token: tokenOf(m.call), Outcome: []byte{m.call}}

		return op.Apply(rec, now())
	case release:
		op := store.Release{Claim: c.claimOf(s, m.call, m.fence), Ambiguous: m.ambiguous}
		if c.fault == NoTombstone && rec.State == store.Absent {
			return store.Transition{Record: rec, Applied: true}
		}

		return op.Apply(rec, now())
	case hold:
		op := store.Hold{Token: tokenOf(m.call)}

		return op.Apply(rec, now())
	case resolve:
		op := store.Resolution{Token: rec.Token, Fence: uint64(m.fence), State: m.as, Outcome: []byte{operator}}
		if c.fault == CarelessResolver {
			rec.OwnerAliveUntil = now()
		}

		return op.Apply(rec, now())
	case forget:
		op := store.Forgetting{Token: tokenOf(m.owner), Fence: uint64(m.fence), Force: c.fault == ForgottenAlive}
		if c.fault == ForgottenByFence {
			op.Token = rec.Token
		}

		return op.Apply(rec, now())
	default:
		return store.Transition{Record: rec}
	}
}

// breakRule turns off rules about the table's result.
func (c *checker) breakRule(before, after record, m message, applied bool) (record, bool) {
	switch {
	case m.kind == complete:
		return c.breakCompletionRule(before, after, m, applied)
	case m.kind == resolve && c.fault == NoResolver:
		return before, false
	case m.kind == resolve && applied && c.fault == OperatorsRetention:
		after.kept = engineDays
	case c.fault == FenceResetAtRelease && after.state == store.Released:
		after.fence = 1
	case before.state == store.Running && (m.kind == claim || m.kind == renew):
		return c.breakRunRule(before, after, m), applied
	}

	return after, applied
}

func (c *checker) breakCompletionRule(before, after record, m message, applied bool) (record, bool) {
	own := before.owner == m.call && before.state != store.Absent

	switch {
	case c.fault == NoOwnerCheck && !own && before.state == store.Running:
		before.state, before.outcome, before.kept = store.Completed, m.call, before.days
		before.leaseAlive, before.ownerAlive = false, false

		return before, true
	case c.fault == OutcomeNotCompared && own && before.state == store.Completed:
		return before, true
	case c.fault == RepeatRefused && own && before.state == store.Completed && !before.resolved:
		return before, false
	case c.fault == LateOverResolution && own && before.resolved:
		before.state, before.outcome, before.kept = store.Completed, m.call, before.days

		return before, true
	}

	return after, applied
}

// breakRunRule turns off rules about the result of a claim or a renewal on a running record.
func (c *checker) breakRunRule(before, after record, m message) record {
	revived := before.owner == m.call && !before.leaseAlive

	switch {
	case c.fault == NoFenceAtTakeover && after.owner != before.owner:
		after.fence = before.fence
	case c.fault == NoFenceAtRevival && revived:
		after.fence = before.fence
	case c.fault == NoReviverLife && revived && m.kind == claim:
		after.ownerAlive = before.ownerAlive
	}

	return after
}
