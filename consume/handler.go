package consume

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Handler returns a function that calls handle once for each message, and returns what to do with the message. It is safe for concurrent
// use. It fails if an option is invalid, and reports every problem at once. It adds the recovery function of WithRecover to the engine, for
// records without a message: see onlyonce.Engine.AddRecoveries.
//
// The function returns when handle has ended, even if ctx ends before, unless the policy's Detachment is Attached. So its run has a caller,
// and does not count for onlyonce.Limits.MaxDetached. Stop it with onlyonce.Engine.Drain. While it works, it calls Message.Extend, for at
// most MaxRun, MaxWait and Lease together. If handle has not ended by then, the queue delivers the message to another consumer.
//
// The context of handle belongs to the run: see onlyonce.Engine.Execute, onlyonce.RunFromContext and onlyonce.DeriveExternal. Under
// ExactlyOnce it has the transaction, such as sqlstore.Tx. If handle uses sqlstore.Join or sqlstore.InTx, the response that it gives them
// is not recorded.
func Handler(
	engine *onlyonce.Engine, scope string, key KeyFunc, handle func(ctx context.Context, m *Message) error, opts ...Option,
) (func(ctx context.Context, m *Message) Decision, error) {
	c := config{
		engine: engine, scope: scope, key: key, handle: handle, rules: rules{final: DeadLetter, maxDeliveries: unset, backoff: backoff},
	}

	for _, opt := range opts {
		opt(&c)
	}

	if c.rules.backoff == nil {
		c.rules.backoff = backoff
	}

	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("consume: the handler cannot be made: %w", err)
	}

	prepared, err := engine.Prepare(c.policy)
	if err != nil {
		return nil, fmt.Errorf("consume: the handler cannot be made: %w", err)
	}

	h := &handler{config: c, prepared: prepared, policy: engine.Policy(c.policy), history: newHistory()}
	h.rules.maxAttempts, h.rules.guarantee = h.policy.MaxAttempts, h.policy.Guarantee
	h.rules.single = h.policy.Guarantee == onlyonce.ExactlyOnce && h.policy.TransactionMode == onlyonce.SingleTransaction

	if h.rules.maxDeliveries == unset {
		h.rules.maxDeliveries = h.rules.mostDeliveries(engine.CanResolve())
	}

	if c.recover != nil {
		engine.AddRecoveries(h.recovery)
	}

	return h.deliver, nil
}

type handler struct {
	config

	prepared *onlyonce.PreparedPolicy
	policy   onlyonce.Policy
	history  *history
}

// deliver handles one delivery of a message.
func (h *handler) deliver(ctx context.Context, m *Message) Decision {
	e := h.execute(ctx, m)
	at := place{source: m.Source, key: e.key, position: m.Position}
	e.counted, e.ranHere = h.history.counted(at, m.Deliveries), h.history.ran(at, &e)

	d := h.rules.decide(&e)
	if d.Action == DeadLetter && h.rules.mayHaveCommitted(&e) && !h.hasNoRecord(ctx, m, e.key) {
		d = h.rules.redeliver(CauseInProgress, e.err, h.rules.wait(max(e.deliveries, 1), 0)) // and its outcome is replayed
	}

	h.history.note(at, &e, &d)

	return d
}

// execute runs the message through the engine, in a goroutine of its own. A handler that calls runtime.Goexit, such as by
// testing.T.FailNow, ends that goroutine, and the worker of the queue goes on.
func (h *handler) execute(ctx context.Context, m *Message) ending {
	ended := make(chan ending, 1)

	go func() {
		e, returned := ending{deliveries: m.Deliveries}, false

		defer func() {
			value := recover()
			if value == nil {
				value = goexit
			}

			if !returned {
				e.err, e.ran = &PanicError{Value: value, Stack: debug.Stack()}, true
			}

			ended <- e
		}()

		h.run(ctx, m, &e)

		returned = true
	}()

	return <-ended
}

// goexit is what a PanicError has instead of a panic.
const goexit = "no panic, but runtime.Goexit"

// run fills in how the delivery has ended.
func (h *handler) run(ctx context.Context, m *Message, e *ending) {
	call, err := h.call(m)
	if err != nil {
		h.engine.Refused(ctx, onlyonce.Identity{Scope: h.scope, Method: Method(h.scope, m.Source)}, err)
		e.err = err

		return
	}

	e.key = call.Key

	if e.err = h.tooOften(ctx, m, call.Key); e.err != nil {
		return
	}

	stop := extend(ctx, m, h.longest())
	defer stop()

	ctx, begun, release := untilBegun(ctx, h.policy.Detachment)
	defer release()

	own := *m

	e.reply, e.err = h.engine.Execute(ctx, call, func(ctx context.Context) onlyonce.Outcome {
		begun()

		if run, ok := onlyonce.RunFromContext(ctx); ok {
			e.runs = int(min(run.Fence, maxRuns))
		}

		e.ran = true
		e.failure = h.handle(ctx, &own)
		e.overran = errors.Is(context.Cause(ctx), onlyonce.ErrMaxRun)

		return outcomeOf(e.failure)
	})
}

// maxRuns keeps a fence within an int.
const maxRuns = 1 << 30

// call makes the call of a message.
func (h *handler) call(m *Message) (*onlyonce.Call, error) {
	key, err := h.key(m)
	if err == nil {
		err = h.keys.Check(key)
	}

	if err != nil {
		return nil, &onlyonce.Rejection{Reason: onlyonce.ReasonKeyInvalid, Message: err.Error(), Cause: err}
	}

	call := &onlyonce.Call{
		Scope: h.scope, Method: Method(h.scope, m.Source), Key: key, TimeOrdered: h.keys.TimeOrdered,
		Fingerprint: h.fingerprint(m), Prepared: h.prepared,
		Outcome: func(_ any, err error) onlyonce.Outcome { return outcomeOf(err) },
	}

	if most := h.policy.KeepRequest; most > 0 && len(m.Data) <= most {
		call.Request = encodeMessage(m)
	}

	if h.recover != nil {
		received := *m
		received.Extend, received.ExtendEvery = nil, 0

		call.Recover = func(ctx context.Context, rec onlyonce.Record) (onlyonce.Finding, error) {
			return h.recover(ctx, &received, rec)
		}
	}

	return call, nil
}

// errTooOften is about a message that WithMaxDeliveries ends.
var errTooOften = errors.New("consume: the message was delivered too often without an outcome: see WithMaxDeliveries")

// tooOften returns errTooOften if the message was delivered more often than it may be, and nobody has ended or is handling it. A delivery
// that has ended in this process has not killed its process.
func (h *handler) tooOften(ctx context.Context, m *Message, key string) error {
	ended := h.history.ended(place{source: m.Source, key: key, position: m.Position})

	if h.rules.maxDeliveries == 0 || m.Deliveries-ended <= h.rules.maxDeliveries || !h.hasNoRecord(ctx, m, key) {
		return nil
	}

	return errTooOften
}

// hasNoRecord reports whether the store is sure that the message has no outcome and is not being handled.
func (h *handler) hasNoRecord(ctx context.Context, m *Message, key string) bool {
	rec, err := h.engine.Lookup(ctx, onlyonce.Identity{Scope: h.scope, Method: Method(h.scope, m.Source), Key: key})

	return err == nil && (rec.State == store.Absent || rec.State == store.Released)
}

// longest is how long a message may be extended.
func (h *handler) longest() time.Duration {
	return h.policy.MaxRun + max(h.policy.MaxWait, 0) + h.policy.Lease
}
