package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// client fulfils a purpose: it calls with the same key until it knows the outcome or runs out of time.
type client struct {
	world   *world
	purpose *purpose
	number  int
	rng     *rand.Rand
	key     string
	sent    int  // attempts
	unsure  bool // an attempt with this key may have had its effect
}

func (w *world) newClient(p *purpose, number int) *client {
	return &client{
		world: w, purpose: p, number: number, key: p.id.Key,
		rng: source(w.scenario.seed, "client", p.name, number),
	}
}

var errNoAnswer = errors.New("no answer has come")

// fulfil calls until a further call has no use.
func (c *client) fulfil() {
	s := c.world.scenario

	time.Sleep(c.purpose.begins + between(c.rng, 0, 2*s.policy.Lease))

	longest := max(s.horizon-c.purpose.begins, 8*s.policy.Lease)

	ctx, cancel := context.WithTimeout(context.Background(), between(c.rng, 2*s.policy.Lease, longest))
	defer cancel()

	for delay := 50 * time.Millisecond; ctx.Err() == nil; delay = min(2*delay, 4*time.Second) {
		a := c.attempt(c.world.pick(c.rng))

		err := errNoAnswer
		if c.try(ctx, a) {
			err = a.err
		}

		if onlyonce.VerdictOf(err) == onlyonce.VerdictFinal || errors.Is(err, onlyonce.ReasonKeyReused) {
			return
		}

		c.learn(err)

		wait := between(c.rng, 0, delay)
		if rejection, ok := errors.AsType[*onlyonce.Rejection](err); ok {
			wait += min(rejection.RetryAfter, 3*time.Second)
		}

		pause := time.NewTimer(wait)

		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// learn decides about the key of the next attempt. The client keeps the key, unless all attempts with it were answered
// "nothing happened". Even then, it keeps the key if other clients use it for the same purpose.
func (c *client) learn(err error) {
	if onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted {
		c.unsure = true
	}

	if c.unsure && !c.world.habits.freshKeys {
		return
	}

	if c.unsure || c.purpose.clients == 1 && chance(c.rng, 0.5) {
		c.key = fmt.Sprintf("%s-again-%d-%d", c.purpose.id.Key, c.number, c.sent)
		c.unsure = false
	}
}

func (c *client) attempt(p *process) *attempt {
	id := c.purpose.id
	id.Key = c.key
	c.sent++

	rng := source(c.world.scenario.seed, "attempt", c.purpose.name, c.number, c.sent)
	a := &attempt{purpose: c.purpose, id: id, process: p, plan: randomPlan(rng, c.world.scenario)}

	if c.world.scenario.recovers {
		a.recovery = c.world.recovery(rng, a)
	}

	return a
}

// try makes one attempt, and reports whether its answer reached the client. Sometimes the client cancels, and sometimes
// the network sends a second copy to another process.
func (c *client) try(ctx context.Context, a *attempt) bool {
	patience := between(c.rng, 100*time.Millisecond, 3*c.world.scenario.policy.Lease)

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	if chance(c.rng, 0.15) {
		var leave context.CancelFunc

		ctx, leave = context.WithCancel(ctx)
		timer := time.AfterFunc(between(c.rng, 0, patience), leave)

		defer timer.Stop()
	}

	if chance(c.rng, 0.15) {
		copied := c.attempt(c.world.pick(c.rng))
		c.unsure = true // its answer may be lost

		c.world.calls.Go(func() { c.world.call(ctx, copied) })
	}

	done := make(chan bool, 1)

	c.world.calls.Go(func() { done <- c.world.call(ctx, a) })

	select {
	case answered := <-done:
		return answered
	case <-ctx.Done():
		return false
	case <-a.process.died:
		return false
	}
}

// call calls an engine, and reports whether there is an answer. A handler that panics or ends its goroutine leaves none.
func (w *world) call(ctx context.Context, a *attempt) bool {
	w.history.startAttempt(a)

	answered := make(chan bool, 1)

	w.calls.Go(func() {
		var (
			result onlyonce.Result
			err    error
		)

		returned := false

		defer func() {
			_ = recover()

			w.history.endAttempt(a, result, err, !returned)
			answered <- returned
		}()

		result, err = a.process.engine.Do(withAttempt(ctx, a), onlyonce.Call{
			Scope: a.id.Scope, Method: a.id.Method, Key: a.id.Key, Request: request(a.purpose), Recover: a.recovery,
		}, w.handler(a))
		returned = true
	})

	return <-answered
}
