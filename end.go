package onlyonce

import "github.com/onlyonce-go/onlyonce/store"

// Pure functions in this file decide how a run ends: what is written to the store, and, from the store's answer, what the caller and the
// duplicates get. The settlers carry the decisions out: see runsettle.go.

// ending is everything that the end of a run depends on.
type ending struct {
	shape shape
	class Class
	// failed means that the handler has returned an error.
	failed bool
	// doubtful means that an earlier run of the record may have had its effect.
	doubtful bool
	// takeover means that another run may follow this run if its outcome is unknown.
	takeover bool
	// recoverable means that a recovery function can find out what became of the run.
	recoverable bool
	// join is what the handler of a joined run has written.
	join joinState
}

// status is the status of a run without a definite outcome. NotExecuted is only about this run: an earlier run may have had its effect.
func (e ending) status() Status {
	if e.class == ClassNotExecuted && !e.doubtful {
		return StatusReleased
	}

	return StatusUnknown
}

// writing is the operation at the end of a run.
type writing uint8

const (
	writeOutcome      writing = iota // the outcome is recorded
	writeRelease                     // the key is released: this run did nothing
	writeDoubtful                    // the key is released by a run that may have had its effect
	writeHold                        // the outcome is unknown, and the key is kept
	confirmCommit                    // the handler has written the outcome: find out whether it has committed
	readRecord                       // the handler's completion was refused: read who has the record
	commitTransaction                // the outcome commits together with the handler's writes
	rollBack                         // the transaction leaves nothing behind
)

// writes decides the operation at the end of a run.
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

// writesAmbiguous decides the operation for a run that may have had its effect and has no outcome.
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
	answerApplied                       // the operation has taken effect
	answerCommitted                     // the record holds the outcome that the handler's own transaction has committed
	answerCompleted                     // somebody else has completed the record
	answerUnknown                       // somebody else holds the record
	answerReleased                      // the record was resolved as not executed, for this run
	answerLost                          // there is no record, or the record is of another request
	answerOvertaken                     // another run has the record
	answerConflict                      // the transaction was rolled back because of another one
	answerRefused                       // the database refused to commit what the handler wrote, and rolled it back
	answerRolledBack                    // the transaction was rolled back, and nothing is left
)

// answerOf returns the meaning of the store's result for the run of a claim. Join is the state of the handler's completion.
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

// callerGets is the answer to the caller of a run.
type callerGets uint8

const (
	getsOwnAnswer    callerGets = iota // the handler's own answer, with a status
	getsRecord                         // the outcome in the record
	getsCommitted                      // the outcome that the run's own handler has committed
	getsOvertaken                      // LEASE_LOST: another run has the key
	getsUncertain                      // LEASE_LOST: it is not known whether the run's transaction has committed
	getsNotCommitted                   // LEASE_LOST: the run's transaction has not committed
	getsRolledBack                     // STORE_UNAVAILABLE: the run's transaction was rolled back
)

// waitersGet is the answer to the duplicates that have waited for a run in this process.
type waitersGet uint8

const (
	waitersGetRecord    waitersGet = iota // the outcome in the record
	waitersGetError                       // the error of the run
	waitersStartOver                      // they claim
	waitersGetRejection                   // the rejection of the run's caller
	waitersGetNotStored                   // IN_PROGRESS: the outcome is not stored yet
)

// conclusion is the end of a run for its caller, its duplicates and the observer.
type conclusion struct {
	caller  callerGets
	status  Status // of getsOwnAnswer
	waiters waitersGet
	// lost means that the observer gets an EventLeaseLost.
	lost bool
	// later means that the operation is tried in the background until the store acknowledges it.
	later bool
}

// concludes decides the conclusion from the operation and the store's answer.
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
		case answer == answerCompleted: // by another run, which began after the database had ended this run's transaction
			return conclusion{caller: getsRecord, waiters: waitersGetRecord}
		default:
			return conclusion{caller: getsOwnAnswer, status: e.rolledBack(answer), waiters: waitersGetError}
		}
	default:
		return conclusion{caller: getsOvertaken, waiters: waitersStartOver}
	}
}

// concludesOutcome decides about a run with an outcome, which counts only if the record holds it.
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

// concludesRelease decides about a run without an outcome. Its caller gets the handler's answer, unless somebody else has completed the
// record.
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

// concludesCommit decides about a run in a single transaction with an outcome.
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

// rolledBack is the status of a run in a single transaction that was rolled back. The class of its outcome decides, because the handler may
// have had an effect elsewhere. The status is unknown in two cases:
//   - The store is not sure of the rollback: a statement of the handler may have committed its writes.
//   - Another run has the key.
func (e ending) rolledBack(answer storeAnswer) Status {
	if answer != answerRolledBack {
		return StatusUnknown
	}

	return e.status()
}
