package onlyonce

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// A joined run is leased like any other, and its completion is written by its handler, in the handler's own transaction. So the
// handler's word is not enough: what it says counts if the record says so, too.

// ErrNotCommitted means that the handler of a joined run has returned an answer, such as a response, and that no transaction with
// its completion has committed, as far as the records say.
var ErrNotCommitted = errors.New("onlyonce: the handler has returned an answer, but its transaction did not commit")

var errNoOutcome = errors.New("onlyonce: this call has no Outcome function, so its run cannot join a transaction")

type joinState uint8

const (
	joinNothing joinState = iota // the handler has written no completion
	joinWritten                  // it has, in a transaction that may have committed
	joinRefused                  // the record was not its own any more
)

func (x *execution) joined() bool {
	return x.policy.Guarantee == ExactlyOnce && x.policy.TransactionMode == JoinedTransaction
}

// joinable is a run as the store sees it.
type joinable struct{ x *execution }

// Outcome implements [store.Joinable].
func (j joinable) Outcome(response any, err error) (op store.Completion, definite, keep bool, problem error) {
	x := j.x

	if x.call.Outcome == nil {
		return store.Completion{}, false, false, errNoOutcome
	}

	out := x.call.Outcome(response, err)
	if out.Class != ClassDefinite {
		if err == nil {
			problem = out.Err
		}

		return store.Completion{}, false, false, problem
	}

	return store.Completion{
		Key: x.key, Token: x.claim.Token, Outcome: x.answerOf(out.Code, out.Body), Retention: x.policy.Retention,
	}, true, out.KeepWrites, nil
}

// Written implements [store.Joinable]. From then on the record is locked by the handler's transaction: nobody can take the key
// over before that ends, and a renewal waits for it. One that succeeds means that it was rolled back, and the lease counts again.
func (j joinable) Written(applied bool) {
	x := j.x

	x.heartbeat.mu.Lock()
	defer x.unlockAndTell()

	if applied {
		x.join = joinWritten
		x.heartbeat.held = time.Now()

		return
	}

	x.join = joinRefused
	x.heartbeat.over = true
	x.reportLoss()
	x.cancel(ErrLeaseLost)
}

func (x *execution) joinedHow() joinState {
	x.heartbeat.mu.Lock()
	defer x.heartbeat.mu.Unlock()

	return x.join
}

// settleJoined settles a run whose handler has written its completion, or was refused it. The second result is false where
// the run is to be settled like any other.
func (x *execution) settleJoined(out *Outcome) (reply Reply, done bool, err error) {
	succeeded := out.Class == ClassDefinite && out.Err == nil

	switch x.joinedHow() {
	case joinNothing:
		if succeeded {
			x.observe(EventNotJoined, nil)
		}

		return Reply{}, false, nil
	case joinWritten:
		if !succeeded {
			return Reply{}, false, nil // if its transaction has committed all the same, the store will say so
		}

		reply, err = x.confirm()
	case joinRefused:
		reply, err = x.giveWay()
	}

	return reply, true, err
}

// look reads the record of the run.
func (x *execution) look() error {
	return x.persist(func(ctx context.Context, res *store.Result) (err error) {
		*res, err = x.engine.inspector.Lookup(ctx, x.key)

		return err // judged by the caller
	}, x.settleBudget())
}

// confirm makes sure that the handler's transaction has committed.
func (x *execution) confirm() (Reply, error) {
	if err := x.look(); err != nil {
		x.settleLater(x.leaving())

		return x.uncommitted(rejectUncertain(err))
	}

	rec := &x.result.Record
	if rec.State != store.Running || rec.Token != x.claim.Token {
		return x.superseded(rec)
	}

	// It may be about to commit. What ends the run waits for that.
	if err := x.persist(x.leaving(), x.settleBudget()); err != nil {
		x.settleLater(x.leaving())

		return x.uncommitted(rejectUncertain(errors.Join(ErrNotCommitted, err)))
	}

	if rec.State == store.Completed {
		return x.superseded(rec)
	}

	return x.unrecorded()
}

// unrecorded answers a run whose answer is in no record. That of a joined run counts for nothing then: its transaction has not
// committed, or its record was deleted since, and another run may commit.
func (x *execution) unrecorded() (Reply, error) {
	if !x.joined() {
		return Reply{Status: StatusUnrecorded}, nil
	}

	return x.uncommitted(reject(ReasonLeaseLost,
		"no record says that the transaction of this call has committed, so its answer does not count; retry with the same key",
		ErrNotCommitted))
}

// leaving gives the key back, or holds it where the record says that no other run may follow an ambiguous one.
func (x *execution) leaving() ending {
	if !x.guarantee.TakeoverAllowed() {
		return x.holding("")
	}

	return x.releasing(true)
}

// giveWay answers a run that was overtaken before its transaction could commit.
func (x *execution) giveWay() (Reply, error) {
	if err := x.look(); err != nil {
		return Reply{}, rejectLeaseLost()
	}

	return x.superseded(&x.result.Record)
}

// ownRecord answers a run from the record that its handler has committed, so that its caller gets what its duplicates will get.
func (x *execution) ownRecord(rec *store.Record) (Reply, error) {
	x.land(landing{kind: landedRecord, record: rec})

	out, err := decodeOutcome(&x.key, rec.Outcome)
	if err != nil {
		return Reply{}, rejectStoreError(err)
	}

	if out.kind != kindAnswer {
		return Reply{}, rejectNotStored(out.code)
	}

	return Reply{Status: StatusExecuted, Recorded: true, Body: out.body, Code: out.code}, nil
}
