package onlyonce

import "github.com/onlyonce-go/onlyonce/store"

// How a run ends is decided here, by functions that depend on their arguments alone: what to write to the store, and, from the
// store's answer, what its caller and its duplicates get. The settlers carry it out: see runsettle.go.

// ending is everything about a run that its end depends on.
type ending struct {
	shape shape
	class Class
	// failed means that the handler has returned an error.
	failed bool
	// doubtful means that an earlier run of the record may have had its effect.
	doubtful bool
	// takeover means that another run may follow one whose outcome is unknown.
	takeover bool
	// recoverable means that a recovery function can find out what became of the run.
	recoverable bool
	// join is what the handler of a joined run has written.
	join joinState
}

// status is the status of a run without a definite outcome. NotExecuted is about the run alone: an earlier run may have had its effect.
func (e ending) status() Status {
	if e.class == ClassNotExecuted && !e.doubtful {
		return StatusReleased
	}

	return StatusUnknown
}

// writing is what the end of a run writes.
type writing uint8

const (
	writeOutcome      writing = iota // the outcome is recorded
	writeRelease                     // the key is released: this run did nothing
	writeDoubtful                    // the key is released by a run that may have had its effect
	writeHold                        // the outcome is unknown, and the key is kept
	confirmCommit                    // the handler has written the outcome: find out whether it has committed
	readRecord                       // the handler found the record to be another's: read whose
	commitTransaction                // the outcome commits together with the handler's writes
	rollBack                         // nothing is left
)

// writes decides what the end of a run writes.
func (e ending) writes() writing {
	switch {
	case e.shape == single && e.class == ClassDefinite:
		return commitTransaction
	case e.shape == single:
		return rollBack
	case e.join == joinRefused:
		return readRecord
	case e.join == joinWritten && e.class == ClassDefinite && !e.failed:
		return confirmCommit
	case e.class == ClassDefinite:
		return writeOutcome
	case e.class == ClassNotExecuted:
		return writeRelease
	default:
		return e.writesAmbiguous()
	}
}

// writesAmbiguous is what is written for a run that may have had its effect and has no outcome.
func (e ending) writesAmbiguous() writing {
	if e.takeover {
		return writeDoubtful
	}

	return writeHold
}

// storeAnswer is the store's answer to the end of a run.
type storeAnswer uint8

const (
	answerNothing    storeAnswer = iota // no answer
	answerTooLate                       // no answer, and another run of the key may have begun meanwhile
	answerApplied                       // it is written
	answerCommitted                     // the record holds the outcome that the handler's own transaction has committed
	answerCompleted                     // somebody else has completed the record
	answerUnknown                       // somebody else holds the record
	answerReleased                      // the record was resolved as not executed, for this run
	answerLost                          // there is no record, or that of another request
	answerOvertaken                     // another run has the record
	answerConflict                      // the transaction was rolled back because of another one
	answerRefused                       // the database refused to commit what the handler wrote, and rolled it back
	answerRolledBack                    // the transaction was rolled back for want of a commit
)

// answerOf returns what the store's result means for the run of a claim. Join is what its handler has written.
func answerOf(claim *store.Claim, join joinState, res *store.Result) storeAnswer {
	rec := &res.Record
	own := rec.Token == claim.Token

	switch {
	case res.Applied:
		return answerApplied
	case rec.State == store.Absent, claim.Fingerprint.Differs(rec.Fingerprint):
		return answerLost
	case rec.State == store.Completed && own && join == joinWritten && !rec.Resolved:
		return answerCommitted
	case rec.State == store.Completed:
		return answerCompleted
	case rec.State == store.Unknown:
		return answerUnknown
	case own:
		return answerReleased
	default:
		return answerOvertaken
	}
}

// callerGets is what the caller of a run gets.
type callerGets uint8

const (
	getsOwnAnswer    callerGets = iota // what the handler has returned, with a status
	getsRecord                         // the outcome in the record
	getsCommitted                      // the outcome that its own handler has committed
	getsOvertaken                      // LEASE_LOST: another run has the key
	getsUncertain                      // LEASE_LOST: nobody knows whether its transaction has committed
	getsNotCommitted                   // LEASE_LOST: its transaction has not committed
	getsRolledBack                     // STORE_UNAVAILABLE: its transaction was rolled back
)

// waitersGet is what the duplicates get that have waited for a run in this process.
type waitersGet uint8

const (
	waitersGetRecord    waitersGet = iota // the outcome in the record
	waitersGetError                       // the error of the run
	waitersStartOver                      // they claim
	waitersGetRejection                   // what the caller is rejected with
	waitersGetNotStored                   // IN_PROGRESS: the outcome is not stored yet
)

// conclusion is what everybody learns about the end of a run.
type conclusion struct {
	caller  callerGets
	status  Status // of getsOwnAnswer
	waiters waitersGet
	// lost means that the observer gets an EventLeaseLost.
	lost bool
	// later means that what is to be written is tried in the background until the store acknowledges it.
	later bool
}

// concludes decides what everybody learns, from what was written and what the store has answered.
func (e ending) concludes(wrote writing, answer storeAnswer) conclusion {
	switch wrote {
	case writeOutcome, confirmCommit, readRecord:
		return e.concludesOutcome(wrote, answer)
	case writeRelease, writeDoubtful, writeHold:
		return e.concludesRelease(wrote, answer)
	case commitTransaction:
		return e.concludesCommit(answer)
	case rollBack:
		switch {
		case e.class == ClassDefinite: // it counts only if it has committed
			return conclusion{caller: getsUncertain, waiters: waitersGetRejection}
		case answer == answerCompleted: // by a run that began when the database had ended this one's transaction
			return conclusion{caller: getsRecord, waiters: waitersGetRecord}
		default:
			return conclusion{caller: getsOwnAnswer, status: e.rolledBack(answer), waiters: waitersGetError}
		}
	default:
		return conclusion{caller: getsOvertaken, waiters: waitersStartOver}
	}
}

// concludesOutcome is about a run with an outcome that counts only if the record holds it.
func (e ending) concludesOutcome(wrote writing, answer storeAnswer) conclusion {
	switch answer {
	case answerApplied:
		if wrote == writeOutcome {
			return conclusion{caller: getsOwnAnswer, status: StatusExecuted, waiters: waitersGetRecord}
		}

		return conclusion{caller: getsNotCommitted, waiters: waitersGetRejection} // the record was still running, and is released or held now
	case answerNothing, answerTooLate:
		switch {
		case wrote == readRecord:
			return conclusion{caller: getsOvertaken, waiters: waitersStartOver}
		case e.shape == joined:
			return conclusion{caller: getsUncertain, waiters: waitersGetRejection, later: true}
		default:
			return conclusion{caller: getsOwnAnswer, status: StatusUnrecorded, waiters: waitersGetNotStored, later: true}
		}
	case answerCommitted:
		return conclusion{caller: getsCommitted, waiters: waitersGetRecord}
	case answerCompleted, answerUnknown:
		return conclusion{caller: getsRecord, waiters: waitersGetRecord, lost: true}
	case answerReleased, answerLost:
		if e.shape == joined {
			return conclusion{caller: getsNotCommitted, waiters: waitersGetRejection, lost: true}
		}

		// The answer is true, and nobody else will get it.
		return conclusion{caller: getsOwnAnswer, status: StatusUnrecorded, waiters: waitersStartOver, lost: true}
	case answerOvertaken, answerConflict, answerRefused, answerRolledBack:
	}

	return conclusion{caller: getsOvertaken, waiters: waitersStartOver, lost: true}
}

// concludesRelease is about a run without an outcome. Its caller gets the handler's answer whatever the store answers, unless the record
// was completed by somebody else.
func (e ending) concludesRelease(wrote writing, answer storeAnswer) conclusion {
	own := conclusion{caller: getsOwnAnswer, status: e.status(), waiters: waitersGetError}

	switch answer {
	case answerApplied:
		switch {
		case wrote == writeHold && e.recoverable:
			own.waiters = waitersStartOver // one of them calls the recovery function
		case wrote == writeHold:
			own.waiters = waitersGetRecord
		}
	case answerNothing:
		own.later = true
	case answerTooLate:
		own.status, own.later = StatusUnknown, true
	case answerCommitted:
		return conclusion{caller: getsCommitted, waiters: waitersGetRecord}
	case answerCompleted:
		return conclusion{caller: getsRecord, waiters: waitersGetRecord, lost: true}
	case answerUnknown, answerReleased, answerLost, answerOvertaken, answerConflict, answerRefused, answerRolledBack:
		own.status, own.lost = StatusUnknown, true // another run of the key has begun
	}

	return own
}

// concludesCommit is about a run in a single transaction whose outcome was to commit.
func (e ending) concludesCommit(answer storeAnswer) conclusion {
	switch answer {
	case answerApplied:
		return conclusion{caller: getsOwnAnswer, status: StatusExecuted, waiters: waitersGetRecord}
	case answerNothing, answerTooLate:
		return conclusion{caller: getsUncertain, waiters: waitersGetRejection}
	case answerCommitted, answerCompleted, answerUnknown:
		return conclusion{caller: getsRecord, waiters: waitersGetRecord}
	case answerRolledBack, answerConflict, answerRefused: // the last two only where there is no other try: see singleSettler
		return conclusion{caller: getsRolledBack, waiters: waitersGetRejection}
	case answerReleased, answerLost, answerOvertaken:
	}

	return conclusion{caller: getsOvertaken, waiters: waitersStartOver}
}

// rolledBack is the status of a run in a single transaction that was rolled back. It may have done something elsewhere, as far as its
// handler says. Where the store is not sure of the rollback, a statement of the handler may have committed its writes. Any other answer is
// about another run that has the key.
func (e ending) rolledBack(answer storeAnswer) Status {
	if answer != answerRolledBack {
		return StatusUnknown
	}

	return e.status()
}
