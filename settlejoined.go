package onlyonce

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/onlyonce-go/onlyonce/store"
)

// A joined run is leased, and its handler writes the completion in its own transaction. The handler's answer counts only if the record
// shows the completion.

// ErrNotCommitted is the Cause of a [Rejection] with [ReasonLeaseLost]. The handler of a joined run has returned an answer, but its
// transaction did not commit. So no record holds the completion.
var ErrNotCommitted = errors.New("onlyonce: the handler returned an answer, but its transaction did not commit; " +
	"return the error of the commit")

var errNoOutcome = errors.New("onlyonce: writing the completion of a run in its handler's transaction: the call has no Outcome function; " +
	"set Call.Outcome")

type joinState uint32

const (
	joinNothing joinState = iota // the handler has written no completion
	joinWritten                  // the handler has written the completion, in a transaction that may have committed
	joinRefused                  // the store refused the completion: the record belonged to another run
)

// join records what the handler of a run has written.
type join struct{ state atomic.Uint32 }

func (j *join) set(to joinState) { j.state.Store(uint32(to)) }
func (j *join) get() joinState   { return joinState(j.state.Load()) }

// joinable is a run as a transactional store sees it.
type joinable struct{ r *run }

// Refusal implements [store.Joinable]. The handler of a run inside this run, on another store, has the context of both.
func (j joinable) Refusal(ctx context.Context) error {
	if inner, ok := runOf(ctx); ok && inner != j.r {
		return fmt.Errorf("onlyonce: the run of %s is inside the run of %s and cannot join that run's transaction: "+
			"join it in the handler of %s", inner.call.Method, j.r.call.Method, j.r.call.Method)
	}

	switch j.r.shape {
	case joined:
		return nil
	case unprotected:
		return fmt.Errorf("onlyonce: this run of %s has no record, because the store is down and the method is FailOpen: "+
			"it cannot join a transaction", j.r.call.Method)
	case leased, single:
	}

	return fmt.Errorf("onlyonce: %s runs under %v and its handler cannot join a transaction: "+
		"set the policy's Guarantee to ExactlyOnce and its TransactionMode to JoinedTransaction", j.r.call.Method, j.r.policy.Guarantee)
}

// Outcome implements [store.Joinable].
func (j joinable) Outcome(response any, err error) (op store.Completion, definite, keep bool, problem error) {
	r := j.r

	if r.call.Outcome == nil {
		return store.Completion{}, false, false, errNoOutcome
	}

	out := r.call.Outcome(response, err)
	r.ambiguous(&out)

	if out.Class != ClassDefinite {
		if err == nil {
			problem = out.Err
		}

		return store.Completion{}, false, false, problem
	}

	return r.completion(&out), true, out.KeepWrites, nil
}

// Written implements [store.Joinable]. From then on the handler's transaction locks the record: nobody can take the key over before the
// transaction ends, and a renewal waits for it. If the renewal succeeds, the transaction was rolled back, and the lease counts again.
func (j joinable) Written(applied bool) {
	if applied {
		j.r.join.set(joinWritten)
		j.r.lease.Hold()

		return
	}

	j.r.join.set(joinRefused)
	j.r.lease.Overtaken()
}

// joinedSettler settles a run whose handler writes the completion.
type joinedSettler struct{ *run }

func (s joinedSettler) context() context.Context { return s.joinable() }

func (s joinedSettler) settle(out *Outcome) *ended {
	s.lease.Settling()

	e := s.ending(out, s.join.get())

	var w written

	switch e.writes() {
	case confirmCommit:
		w = s.confirm(&e)
	case readRecord:
		w = written{what: readRecord}
		s.send(&e, &w, s.lookup(), s.settleBudget())
	case writeOutcome, writeRelease, writeDoubtful, writeHold, commitTransaction, rollBack:
		if e.join == joinNothing && e.class == ClassDefinite && !e.failed {
			s.observe(EventTransactionUnused, nil)
		}

		w = s.write(&e, out)
	}

	return s.conclude(&e, out, &w)
}

// lookup reads the record of the run.
func (s joinedSettler) lookup() storeCall {
	return func(ctx context.Context, res *store.Result) (err error) {
		*res, err = s.engine.can.Inspector.Lookup(ctx, s.claim.Key)

		return err // judged by the caller
	}
}

// confirm finds out whether the handler's transaction has committed. If it has not, confirm releases or holds the key.
func (s joinedSettler) confirm(e *ending) written {
	w := written{what: confirmCommit}
	w.later, w.size = s.releasingOrHolding(e.writesAmbiguous(), "")

	s.send(e, &w, s.lookup(), s.settleBudget())

	if rec := &s.result.Record; w.err != nil || rec.State != store.Running || rec.Token != s.claim.Token {
		return w
	}

	// The transaction may be about to commit. The operation that ends the run waits for it.
	s.send(e, &w, w.later, s.settleBudget())

	if w.err != nil {
		w.err = errors.Join(ErrNotCommitted, w.err)
	}

	return w
}
