package store

import (
	"bytes"
	"time"
)

// This file has the part of the transition table that ends runs. See transition.go.

// Apply decides a completion. The token alone gives the right to complete: an ended lease does not matter as long as nobody has taken over.
func (op *Completion) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Completion) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Completion) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	if rec.Token != op.Token {
		return refused
	}

	switch rec.State {
	case Running, Unknown:
		if op.Retention > 0 {
			rec.Retention = op.Retention
		}

		rec.settle(Completed, op.Outcome, now)

		return applied
	case Completed:
		if bytes.Equal(rec.Outcome, op.Outcome) {
			return repeated
		}

		return refused
	case Absent, Released:
		return refused
	default:
		return refused
	}
}

// Apply decides a release.
func (op *Release) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Release) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Release) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	switch {
	case rec.State == Absent:
		op.leaveTombstone(rec, now)

		return applied
	case rec.State != Running && rec.State != Unknown && rec.State != Released:
		return refused
	case rec.Token != op.Claim.Token:
		if rec.Fence != op.Claim.Fence {
			return refused
		}

		rec.Fence++

		return countered
	case rec.State == Released:
		return repeated
	default:
		rec.settle(Released, nil, now)
		rec.Doubtful = rec.Doubtful || op.Ambiguous

		return applied
	}
}

// leaveTombstone makes the Released record that refuses a claim which arrives later.
func (op *Release) leaveTombstone(rec *Record, now time.Time) {
	*rec = Record{
		State:       Released,
		Token:       op.Claim.Token,
		Fence:       1,
		Guarantee:   op.Claim.Guarantee,
		Fingerprint: op.Claim.Fingerprint,
		Doubtful:    op.Ambiguous,
		EndedAt:     now,
		ExpiresAt:   now.Add(op.Claim.Retention),
		Retention:   op.Claim.Retention,
		Method:      op.Claim.Method,
		ReadableKey: op.Claim.ReadableKey,
	}
}

// Apply decides a hold.
func (op *Hold) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Hold) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Hold) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	if rec.Token != op.Token {
		return refused
	}

	switch rec.State {
	case Running:
		rec.State = Unknown
		rec.EndedAt = now
		rec.Outcome = op.Outcome

		return applied
	case Unknown:
		return repeated
	case Absent, Released, Completed:
		return refused
	default:
		return refused
	}
}

// Apply decides a resolution.
func (op *Resolution) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Resolution) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Resolution) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	switch {
	case rec.Token != op.Token || rec.Fence != op.Fence:
		return refused
	case op.isRepeat(rec):
		return repeated
	case rec.State != Unknown && (rec.State != Running || rec.LeaseAlive(now)):
		return refused
	}

	switch op.State {
	case Completed:
		rec.settle(Completed, op.Outcome, now)
	case Released:
		if rec.OwnerMayBeAlive(now) || !op.AsOf.IsZero() && op.AsOf.Before(rec.OwnerAliveUntil) {
			return refused
		}

		rec.settle(Released, op.Outcome, now)
		rec.Doubtful = false
	case Absent, Running, Unknown:
		return refused
	default:
		return refused
	}

	rec.Resolved = true

	return applied
}

func (op *Resolution) isRepeat(rec *Record) bool {
	return rec.Resolved && rec.State == op.State && (op.State != Completed || bytes.Equal(rec.Outcome, op.Outcome))
}

// Apply decides a forgetting. The store handles a record that cannot be read by itself.
func (op *Forgetting) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Forgetting) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Forgetting) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	switch {
	case rec.State == Absent:
		return repeated
	case rec.Token != op.Token || rec.Fence != op.Fence:
		return refused
	case !op.Force && (rec.State > Completed || rec.OwnerMayBeAlive(now)):
		return refused
	default:
		*rec = Record{}

		return applied
	}
}

// settle makes the record Completed or Released. The token stays, so that the owner's repeats are recognised.
func (r *Record) settle(state State, outcome []byte, now time.Time) {
	r.State = state
	r.Outcome = outcome
	r.EndedAt = now
	r.ExpiresAt = now.Add(r.Retention)
}
