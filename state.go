package onlyonce

import "github.com/onlyonce-go/onlyonce/store"

// What becomes of a record is decided by the store, with the transition table of package store. What becomes of a call
// is decided here, from the store's answer to its claim.

// action is what a call does next.
type action uint8

const (
	actRun     action = iota // the claim has won
	actReplay                // the outcome is recorded
	actWait                  // somebody else is running under a lease that is alive
	actUnknown               // an earlier run ended in an unknown way and must not be repeated
	actReclaim               // the key is free for a claim that expects the record's fence
	actReused                // the key belongs to another request
)

// decide is pure: it depends on the claim and on the store's answer alone.
func decide(op *store.Claim, res *store.Result) action {
	rec := &res.Record

	switch {
	case res.Applied:
		return actRun
	case rec.State == store.Absent:
		return actReclaim
	case op.Fingerprint.Differs(rec.Fingerprint):
		return actReused
	case rec.State == store.Completed:
		return actReplay
	case tooLateToRepeat(op, rec, res):
		return actUnknown
	case op.MayStart(rec, res.Now):
		return actReclaim
	case rec.LeaseAlive(res.Now):
		return actWait
	default:
		return actUnknown
	}
}

// tooLateToRepeat reports that a key was given back by a run that may have had its effect, and that the first run began longer ago
// than the retention: the records that it made elsewhere, under keys derived from this one, may be gone by now, so that another run
// would repeat their effects. A takeover is refused for the same reason by the store.
func tooLateToRepeat(op *store.Claim, rec *store.Record, res *store.Result) bool {
	return rec.State == store.Released && rec.Doubtful && !rec.FirstStart.IsZero() && res.Now.Sub(rec.FirstStart) > op.Retention
}
