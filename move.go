package onlyonce

import (
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/store"
)

// The store decides what becomes of a record, with the transition table of package store. This file decides what becomes of a call, from
// the store's answer to its claim.

// move is what a call does next.
type move uint8

const (
	moveRun     move = iota // the claim has won: run the handler
	moveReplay              // the outcome is recorded
	moveWait                // another call is running under a lease that is alive
	moveRecover             // call the recovery function about an earlier run
	moveReclaim             // the key is free for a claim that expects the record's fence
	moveUnknown             // the outcome of an earlier run is unknown, and the run must not be repeated
	moveReused              // the key belongs to another request
	moveExpired             // there is no record, and the key is too old to make one
	moveAbandon             // others keep winning the key
)

// maxReclaims bounds how often a call claims again because other calls have won the key.
const maxReclaims = 32

// situation is everything that the next move of a call depends on.
type situation struct {
	claim  *store.Claim
	answer *store.Result
	// window is the time in which a time-ordered key may make a record; nil for other keys.
	window *keytime.Window
	// canRecover means that there is a recovery function. Recovered is the owner that it was last called about.
	canRecover bool
	recovered  owner
	// reclaims is how often the call has claimed again.
	reclaims int
}

// next decides the next move. It depends only on the situation.
func (s *situation) next() move {
	if s.answer.Applied {
		return moveRun
	}

	next := decide(s.claim, s.answer)

	switch rec := &s.answer.Record; {
	case s.mustRecover(next, rec):
		return moveRecover
	case next != moveReclaim:
		return next
	case s.window != nil && neverRan(rec) && s.window.Over(s.answer.Now):
		return moveExpired
	case s.reclaims >= maxReclaims:
		return moveAbandon
	default:
		return moveReclaim
	}
}

// neverRan reports that the record proves nothing about an old key: there is none, or it was made by the release of a withdrawn claim. That
// claim may have come after the record of a run had expired.
func neverRan(rec *store.Record) bool {
	return rec.State == store.Absent || rec.State == store.Released && rec.FirstStart.IsZero()
}

// mustRecover reports whether the recovery function has to be called about the owner of the record: before the call ends with an unknown
// outcome, and before the handler runs again. It is called once about each owner, because another owner may die while the call waits.
func (s *situation) mustRecover(next move, rec *store.Record) bool {
	if !s.canRecover || ownerOf(rec) == s.recovered || rec.State == store.Released {
		return false
	}

	return next == moveUnknown || next == moveReclaim && rec.State == store.Running
}

// decide returns the next move of a claim that has not won, from the record.
func decide(op *store.Claim, res *store.Result) move {
	rec := &res.Record

	switch {
	case rec.State == store.Absent:
		return moveReclaim
	case op.Fingerprint.Differs(rec.Fingerprint):
		return moveReused
	case rec.State == store.Completed:
		return moveReplay
	case tooLateToRepeat(op, rec, res):
		return moveUnknown
	case op.MayStart(rec, res.Now):
		return moveReclaim
	case rec.LeaseAlive(res.Now):
		return moveWait
	default:
		return moveUnknown
	}
}

// tooLateToRepeat reports that a run that may have had its effect released the key, and that the first run began longer ago than the
// retention. The records of its calls under derived keys may have expired, so another run would repeat their effects. The store refuses a
// takeover for the same reason.
func tooLateToRepeat(op *store.Claim, rec *store.Record, res *store.Result) bool {
	return rec.State == store.Released && rec.Doubtful && !rec.FirstStart.IsZero() &&
		res.Now.Sub(rec.FirstStart) > min(op.Retention, rec.Retention)
}

// owner names the owner of a record. The fence alone does not, because fences begin again after a record was forgotten.
type owner struct {
	token store.Token
	fence uint64
}

func ownerOf(rec *store.Record) owner { return owner{rec.Token, rec.Fence} }
