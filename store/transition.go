package store

import "time"

// The transition table is in two files: claims and renewals here, the ends of runs in settle.go. An Apply is a pure function of the record
// and the time on the store's clock. It returns the record after the operation. Its ApplyTo changes a record in place instead. A store
// makes each of them one atomic step. The package documentation lists the rules.

// Transition is the decision about an operation.
type Transition struct {
	// Record is the record after the operation.
	Record Record
	// Applied reports whether Record holds the effect of the operation: see [Result].
	Applied bool
	// Changed reports whether the store must write Record. If it is false, the record is as it was, or was expired.
	Changed bool
}

// verdict is what an operation does to a record.
type verdict uint8

const (
	// refused means that nothing changes.
	refused verdict = iota
	// repeated means that the record already holds the effect.
	repeated
	// countered means that only the fence changes, to refuse an operation that is still on its way.
	countered
	// applied means that the record changes.
	applied
)

func (v verdict) flags() (isApplied, isChanged bool) {
	return v == repeated || v == applied, v == countered || v == applied
}

func (v verdict) transition(rec *Record) Transition {
	isApplied, isChanged := v.flags()

	return Transition{Record: *rec, Applied: isApplied, Changed: isChanged}
}

// expire makes an expired record absent.
func (r *Record) expire(now time.Time) {
	if r.Expired(now) {
		*r = Record{}
	}
}

// Apply decides a claim.
func (op *Claim) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place. It changes rec to the record after the operation, and returns Transition's Applied and Changed. Rec must not
// be nil. It is the zero Record if there is no record. ApplyTo never changes op.
func (op *Claim) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Claim) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	switch {
	case rec.State == Absent:
		if op.Fence != 0 {
			return refused
		}

		op.create(rec, now)

		return applied
	case op.Fingerprint.Differs(rec.Fingerprint):
		return refused
	case rec.Token == op.Token:
		return op.ownClaim(rec, now)
	case rec.Fence == op.Fence && op.MayStart(rec, now):
		op.restart(rec, now)

		return applied
	default:
		return refused
	}
}

// MayStart reports whether the claim may start a run on the record, provided that it expects the record's fence. The engine calls it before
// it claims again with that fence.
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
	case now.Sub(rec.FirstStart) > min(op.Retention, rec.Retention):
		return false
	default:
		return true
	}
}

// ownClaim decides a claim whose token already owns the record: a late or repeated copy.
func (op *Claim) ownClaim(rec *Record, now time.Time) verdict {
	if rec.State != Running {
		return refused
	}

	if rec.LeaseAlive(now) {
		return repeated
	}

	// The run has not begun: its owner has not learned yet that it won.
	rec.OwnerAliveUntil = later(rec.OwnerAliveUntil, op.ownerAliveUntil(now))
	rec.revive(op.Lease, now)

	return applied
}

// create makes the claim the owner of a new record.
func (op *Claim) create(rec *Record, now time.Time) {
	*rec = Record{
		State:           Running,
		Token:           op.Token,
		Fence:           1,
		Guarantee:       op.Guarantee,
		Fingerprint:     op.Fingerprint,
		LeaseUntil:      now.Add(op.Lease),
		OwnerAliveUntil: op.ownerAliveUntil(now),
		Attempts:        1,
		FirstStart:      now,
		LastStart:       now,
		Retention:       op.Retention,
		Outcome:         op.Note,
		Method:          op.Method,
		ReadableKey:     op.ReadableKey,
	}
}

// restart makes the claim the owner of a record that is Released or whose lease has ended. The first fingerprint stays.
func (op *Claim) restart(rec *Record, now time.Time) {
	if rec.State == Running {
		rec.Attempts++
		rec.Doubtful = true
	} else {
		rec.Attempts = 1
	}

	if rec.FirstStart.IsZero() {
		rec.FirstStart = now
	}

	rec.State = Running
	rec.Token = op.Token
	rec.Fence++
	rec.Guarantee = Stricter(rec.Guarantee, op.Guarantee)
	rec.LeaseUntil = now.Add(op.Lease)
	rec.OwnerAliveUntil = later(rec.OwnerAliveUntil, op.ownerAliveUntil(now))
	rec.LastStart = now
	rec.EndedAt = time.Time{}
	rec.ExpiresAt = time.Time{}
	rec.Retention = op.Retention
	rec.Outcome = op.Note
	rec.Resolved = false
	rec.Method = op.Method
	rec.ReadableKey = op.ReadableKey
}

func (op *Claim) ownerAliveUntil(start time.Time) time.Time {
	return start.Add(op.MaxRun).Add(op.Lease)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}

	return a
}

// revive renews an ended lease. The fence rises, so that a takeover which expects the old fence loses.
func (r *Record) revive(lease time.Duration, now time.Time) {
	r.Fence++
	r.LeaseUntil = now.Add(lease)
}

// Apply decides a renewal.
func (op *Renewal) Apply(rec Record, now time.Time) Transition {
	return op.decide(&rec, now).transition(&rec)
}

// ApplyTo is Apply in place.
func (op *Renewal) ApplyTo(rec *Record, now time.Time) (isApplied, isChanged bool) {
	return op.decide(rec, now).flags()
}

func (op *Renewal) decide(rec *Record, now time.Time) verdict {
	rec.expire(now)

	if rec.State != Running || rec.Token != op.Token {
		return refused
	}

	if rec.LeaseAlive(now) {
		rec.LeaseUntil = later(rec.LeaseUntil, now.Add(op.Lease))
	} else {
		rec.revive(op.Lease, now)
	}

	return applied
}
