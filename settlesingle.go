package onlyonce

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// maxConflicts is how often a handler runs again because its transaction conflicted with another transaction.
	maxConflicts = 3
	// conflictDelay is the base of the delay before the handler runs again. It is doubled each time, and jittered.
	conflictDelay = 4 * time.Millisecond
)

// rerun describes the earlier runs of a call in single transactions, which were rolled back.
type rerun struct {
	conflicts int
	// began is when the transaction of the first run began.
	began time.Time
}

// singleSettler commits the outcome together with the handler's writes, or rolls both back.
type singleSettler struct {
	*run

	tx      store.Transaction // nil once it has ended
	earlier *rerun
}

func (s *singleSettler) context() context.Context { return s.tx.Context(s.run) }

func (s *singleSettler) settle(out *Outcome) *ended {
	e := s.ending(out, joinNothing)
	conflict := s.tx.Conflicted(out.Err) && !errors.Is(out.Err, errPanicked) // a panic goes on, so the handler does not run again

	if conflict || e.writes() == rollBack {
		w, held := s.rollBack()

		switch {
		case w.answer != answerRolledBack:
		case conflict:
			return s.conflicted(out.Err)
		case e.class == ClassNotExecuted && !held:
			w.answer, w.err = s.recordSince()
		}

		return s.conclude(&e, out, &w)
	}

	w := s.commit(out)

	switch w.answer {
	case answerConflict:
		return s.conflicted(w.err)
	case answerRefused:
		return s.refused(w.err)
	default:
		return s.conclude(&e, out, &w)
	}
}

// rollBack rolls the transaction back, unless it has ended. The answer is answerRolledBack if the store is sure that nothing is left. Held
// means that no other run can have begun before.
func (s *singleSettler) rollBack() (w written, held bool) {
	w = written{what: rollBack, answer: answerRolledBack}

	if tx := s.tx; tx != nil {
		s.tx = nil

		if held, w.err = tx.Rollback(); w.err != nil {
			w.answer = answerNothing
		}
	}

	return w, held
}

// recordSince finds out whether other runs have changed the record since the transaction of this run ended, which may have been long ago.
// If they have not, the same claim wins again. It waits for a run that still goes on.
func (s *singleSettler) recordSince() (storeAnswer, error) {
	ctx, done := s.engine.storeDeadline(context.WithoutCancel(s.caller), time.Now().Add(s.engine.limits.SettleTimeout))
	defer done()

	res, tx, err := s.engine.can.Transactional.Begin(ctx, s.claim, s.engine.limits.SettleTimeout)

	switch {
	case err != nil:
		return answerNothing, err
	case tx == nil:
		s.result = res

		return answerOf(&s.claim, joinNothing, &s.result), nil
	}

	if _, err := tx.Rollback(); err != nil {
		return answerNothing, err
	}

	return answerRolledBack, nil
}

func (s *singleSettler) commit(out *Outcome) written {
	tx := s.tx
	s.tx = nil

	ctx, done := s.engine.storeDeadline(context.WithoutCancel(s.caller), time.Now().Add(s.engine.limits.SettleTimeout))
	defer done()

	res, err := tx.Complete(ctx, s.completion(out), out.Err != nil && !out.KeepWrites)
	w := written{what: commitTransaction, err: err}

	switch _, refused := errors.AsType[*store.RefusedError](err); {
	case refused:
		w.answer = answerRefused
	case errors.Is(err, store.ErrConflict):
		w.answer = answerConflict
	case errors.Is(err, store.ErrRolledBack):
		w.answer = answerRolledBack
	case err != nil:
		w.answer = answerNothing
	default:
		s.result = res
		w.answer = answerOf(&s.claim, joinNothing, &s.result)
	}

	if w.answer == answerApplied && out.Err == nil && !tx.Used() {
		s.observe(EventTransactionUnused, nil)
	}

	return w
}

// conflicted starts another run of the handler, unless there have been too many.
func (s *singleSettler) conflicted(err error) *ended {
	s.observe(EventConflict, err)

	if s.earlier.conflicts < maxConflicts && time.Now().Before(s.lease.RunEnd()) && !s.engine.draining.Load() {
		again := *s.earlier
		again.conflicts++

		return &ended{again: &again}
	}

	return s.conflictedTooOften(err)
}

func (s *singleSettler) conflictedTooOften(err error) *ended {
	rejection := reject(ReasonStoreUnavailable,
		"the transaction of this call conflicted with others and was rolled back; retry with the same key", err)
	s.land(landing{kind: landedRejection, rejection: rejection})

	return &ended{err: rejection}
}

// refused answers the caller of a run whose writes the database refused to commit. The error of the database counts as the handler's error.
// If it is definite, another transaction records it.
func (s *singleSettler) refused(err error) *ended {
	refused, _ := errors.AsType[*store.RefusedError](err)
	out := Outcome{Code: codeError, Err: refused.Err}

	if s.call.Outcome != nil {
		out = s.call.Outcome(nil, refused.Err)
	}

	s.failure = refused.Err

	s.ambiguous(&out)

	if out.Class == ClassDefinite {
		return s.recordRefusal(&out)
	}

	return s.unrecordedRefusal(&out)
}

// recordRefusal records the outcome of a run whose writes the database refused to commit, in a transaction of its own. It does so even if
// the caller has gone or a drain has begun, because the handler has run.
func (s *singleSettler) recordRefusal(out *Outcome) *ended {
	ctx, done := s.engine.storeDeadline(context.WithoutCancel(s.caller), time.Now().Add(s.engine.limits.SettleTimeout))
	defer done()

	res, tx, err := s.engine.can.Transactional.Begin(ctx, s.claim, s.engine.limits.SettleTimeout)
	if err != nil {
		s.observe(EventSettleFailed, err)

		return s.unrecordedRefusal(out)
	}

	e := s.ending(out, joinNothing)

	if tx == nil { // another call has taken the key meanwhile
		s.result = res

		return s.conclude(&e, out, &written{what: commitTransaction, answer: answerOf(&s.claim, joinNothing, &s.result)})
	}

	s.tx = tx

	w := s.commit(out)
	if w.answer == answerConflict || w.answer == answerRefused || w.answer == answerRolledBack {
		s.observe(EventSettleFailed, w.err)

		return s.unrecordedRefusal(out)
	}

	end := s.conclude(&e, out, &w)
	if end.err == nil && end.status == StatusExecuted {
		return &ended{instead: &Reply{Status: StatusExecuted, Retention: end.retention, Refused: true, Err: out.Err}}
	}

	return end
}

// unrecordedRefusal answers the caller of a run whose writes the database refused to commit, and which has left nothing behind.
func (s *singleSettler) unrecordedRefusal(out *Outcome) *ended {
	e := s.ending(out, joinNothing)
	status := e.status()

	// The database may have rolled back long before it refused to commit, such as after an error that the handler has ignored.
	if status == StatusReleased {
		answer, _ := s.recordSince()
		status = e.rolledBack(answer)
	}

	s.land(s.sharedEnd(out, status))

	return &ended{instead: &Reply{Status: status, Refused: true, Err: out.Err}}
}
