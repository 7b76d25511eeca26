package store

import (
	"bytes"
	"time"
)

// The transition table. Each Apply takes the record as it is and the time on the store's clock, and says what becomes of
// it. The functions are pure; a store makes each of them one atomic step.
//
// The rules that they keep, numbered as storetest numbers them:
//
//  1. One atomic operation decides, on the store's clock; a claim names the fence that it expects.
//  2. Every write after the claim is fenced by the owner's token, and nothing but retention leaves Completed.
//  3. Every operation can arrive twice and late; whatever revives an ended lease raises the fence.
//  4. A claim given up on is released, even before it has landed.
//  5. A key is bound to its first request, in every state.
//  6. The fence never goes back within a record's life.
//  7. An unsettled record has no expiry of its own and never expires with its lease.
//  8. A run is not taken over once the first start is older than the retention.
//  10. The owner's own result settles an unknown record, unless somebody resolved it first.
//  11. "Nothing happened" is refused while the owner may still be alive, and a record whose run may have had its effect
//     stays doubtful until somebody says so.
//
// Rule 9 (request bytes are taken before the handler runs) is the engine's.

// Transition is the decision about one operation.
type Transition struct {
	// Record is the record after the operation.
	Record Record
	// Applied reports that Record holds the effect of the operation; see Result.
	Applied bool
	// Changed reports that Record differs from the record before the operation and has to be written.
	Changed bool
}

func unchanged(rec Record) Transition      { return Transition{Record: rec} }
func alreadyApplied(rec Record) Transition { return Transition{Record: rec, Applied: true} }
func changedTo(rec Record) Transition      { return Transition{Record: rec, Applied: true, Changed: true} }
func fenceRaised(rec Record) Transition    { rec.Fence++; return Transition{Record: rec, Changed: true} }
func current(rec Record, now time.Time) Record {
	if rec.Expired(now) {
		return Record{}
	}

	return rec
}

// Apply decides a claim.
func (op *Claim) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	if rec.State == Absent {
		if op.Fence != 0 {
			return unchanged(rec)
		}

		return changedTo(op.start(rec, now))
	}

	if op.Fingerprint.Differs(rec.Fingerprint) {
		return unchanged(rec)
	}

	if rec.Token == op.Token {
		return op.ownClaim(rec, now)
	}

	if rec.Fence == op.Fence && op.MayStart(&rec, now) {
		return changedTo(op.start(rec, now))
	}

	return unchanged(rec)
}

// MayStart reports whether the claim may start a run on the record as it is, provided that it expects the record's
// fence. The engine asks it before it claims a second time with that fence.
func (op *Claim) MayStart(rec *Record, now time.Time) bool {
	switch rec.State {
	case Absent, Released:
		return true
	case Running:
		return !rec.LeaseAlive(now) && op.mayTakeOver(rec, now)
	case Unknown, Completed:
		return false
	default:
		return false
	}
}

func (op *Claim) mayTakeOver(rec *Record, now time.Time) bool {
	switch {
	case !Stricter(rec.Guarantee, op.Guarantee).TakeoverAllowed():
		return false
	case op.MaxAttempts != 0 && rec.Attempts >= op.MaxAttempts:
		return false
	case op.Retention != 0 && now.Sub(rec.FirstStart) > op.Retention:
		return false
	default:
		return true
	}
}

// ownClaim decides a claim that finds its own token: a copy of a claim that has already won.
func (op *Claim) ownClaim(rec Record, now time.Time) Transition {
	if rec.State != Running {
		return unchanged(rec)
	}

	if rec.LeaseAlive(now) {
		return alreadyApplied(rec)
	}

	// The run has not begun: its owner is only now told that it has won.
	if until := now.Add(op.MaxRun).Add(op.Lease); until.After(rec.OwnerAliveUntil) {
		rec.OwnerAliveUntil = until
	}

	return changedTo(revived(rec, op.Lease, now))
}

// start makes the claim the owner of the record.
func (op *Claim) start(rec Record, now time.Time) Record {
	next := Record{
		State:           Running,
		Token:           op.Token,
		Fence:           rec.Fence + 1,
		Guarantee:       op.Guarantee,
		Fingerprint:     op.Fingerprint,
		LeaseUntil:      now.Add(op.Lease),
		OwnerAliveUntil: now.Add(op.MaxRun).Add(op.Lease),
		Attempts:        1,
		FirstStart:      now,
		LastStart:       now,
		Method:          op.Method,
		ReadableKey:     op.ReadableKey,
	}

	if rec.State == Absent {
		return next
	}

	next.Guarantee = Stricter(rec.Guarantee, op.Guarantee)
	next.Fingerprint = rec.Fingerprint

	if !rec.FirstStart.IsZero() {
		next.FirstStart = rec.FirstStart
	}

	next.Doubtful = rec.Doubtful

	if rec.State == Running {
		next.Attempts = rec.Attempts + 1
		next.Doubtful = true
	}

	if rec.OwnerAliveUntil.After(next.OwnerAliveUntil) {
		next.OwnerAliveUntil = rec.OwnerAliveUntil
	}

	return next
}

// revived gives an ended lease back to its owner. The fence rises, so that a takeover which expects the old one loses.
func revived(rec Record, lease time.Duration, now time.Time) Record {
	rec.Fence++
	rec.LeaseUntil = now.Add(lease)

	return rec
}

// Apply decides a renewal.
func (op *Renewal) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	if rec.State != Running || rec.Token != op.Token {
		return unchanged(rec)
	}

	if !rec.LeaseAlive(now) {
		return changedTo(revived(rec, op.Lease, now))
	}

	if until := now.Add(op.Lease); until.After(rec.LeaseUntil) {
		rec.LeaseUntil = until
	}

	return changedTo(rec)
}

// Apply decides a completion. A lease that has ended does not matter as long as the token is the owner's: nobody has
// taken over.
func (op *Completion) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	if rec.Token != op.Token {
		return unchanged(rec)
	}

	switch rec.State {
	case Running, Unknown:
		rec.settle(Completed, op.Outcome, op.Retention, now)

		return changedTo(rec)
	case Completed:
		if bytes.Equal(rec.Outcome, op.Outcome) {
			return alreadyApplied(rec)
		}

		return unchanged(rec)
	case Absent, Released:
		return unchanged(rec)
	default:
		return unchanged(rec)
	}
}

// Apply decides a release.
func (op *Release) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	claim := &op.Claim

	switch {
	case rec.State == Absent:
		return changedTo(op.tombstone(now))
	case rec.State != Running && rec.State != Unknown && rec.State != Released:
		return unchanged(rec)
	case rec.Token != claim.Token:
		if rec.Fence == claim.Fence {
			return fenceRaised(rec)
		}

		return unchanged(rec)
	case rec.State == Released:
		return alreadyApplied(rec)
	default:
		rec.settle(Released, nil, op.Retention, now)
		rec.Doubtful = rec.Doubtful || op.Ambiguous

		return changedTo(rec)
	}
}

// tombstone is the Released record of a claim that has not landed.
func (op *Release) tombstone(now time.Time) Record {
	return Record{
		State:       Released,
		Token:       op.Claim.Token,
		Fence:       1,
		Guarantee:   op.Claim.Guarantee,
		Fingerprint: op.Claim.Fingerprint,
		Doubtful:    op.Ambiguous,
		EndedAt:     now,
		ExpiresAt:   now.Add(op.Retention),
		Method:      op.Claim.Method,
		ReadableKey: op.Claim.ReadableKey,
	}
}

// Apply decides a hold.
func (op *Hold) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	if rec.Token != op.Token {
		return unchanged(rec)
	}

	switch rec.State {
	case Running:
		rec.State = Unknown
		rec.EndedAt = now
		rec.Outcome = op.Outcome

		return changedTo(rec)
	case Unknown:
		return alreadyApplied(rec)
	case Absent, Released, Completed:
		return unchanged(rec)
	default:
		return unchanged(rec)
	}
}

// Apply decides a resolution.
func (op *Resolution) Apply(rec Record, now time.Time) Transition {
	rec = current(rec, now)
	if rec.Fence != op.Fence {
		return unchanged(rec)
	}

	if op.repeated(&rec) {
		return alreadyApplied(rec)
	}

	if rec.State != Unknown && (rec.State != Running || rec.LeaseAlive(now)) {
		return unchanged(rec)
	}

	switch op.State {
	case Completed:
		rec.settle(Completed, op.Outcome, op.Retention, now)
	case Released:
		if now.Before(rec.OwnerAliveUntil) || !op.AsOf.IsZero() && op.AsOf.Before(rec.OwnerAliveUntil) {
			return unchanged(rec)
		}

		rec.settle(Released, nil, op.Retention, now)
		rec.Doubtful = false
	case Absent, Running, Unknown:
		return unchanged(rec)
	default:
		return unchanged(rec)
	}

	rec.Resolved = true

	return changedTo(rec)
}

func (op *Resolution) repeated(rec *Record) bool {
	return rec.Resolved && rec.State == op.State && (op.State != Completed || bytes.Equal(rec.Outcome, op.Outcome))
}

// settle ends the record's unsettled life. The token stays, so that the owner's repeats are recognised.
func (r *Record) settle(state State, outcome []byte, retention time.Duration, now time.Time) {
	r.State = state
	r.Outcome = outcome
	r.EndedAt = now
	r.ExpiresAt = now.Add(retention)
}
