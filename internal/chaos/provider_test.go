package chaos_test

import (
	"context"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// The provider is the system in which the effects happen. Its ledger is part of the history: the effects of each run.

// effect makes the effect, unless the process has died, or the handler obeys its context and the context has ended. It
// reports whether the effect has happened.
func (w *world) effect(ctx context.Context, r *run) bool {
	h := &w.history
	a := r.attempt

	h.mu.Lock()
	defer h.mu.Unlock()

	switch {
	case a.process.dead:
		return false
	case a.plan.ignores:
	case ctx.Err() != nil:
		return false
	case !h.realTime:
		w.mustBeAlone(r)
	}

	w.record(r)

	return true
}

// record enters an effect into the ledger. The caller holds the lock.
func (w *world) record(r *run) {
	r.effects++
	w.history.notef(r.attempt.id, "EFFECT of run %d", r.number)
}

// mustBeAlone checks that no other run has overtaken a run whose context is alive.
func (w *world) mustBeAlone(r *run) {
	for _, other := range w.history.runs {
		if other.attempt.id == r.attempt.id && other.fence > r.fence && other.number != r.number {
			w.history.violationf(r.attempt.id,
				"run %d with fence %d may have its effect, and run %d with fence %d has begun", r.number, r.fence, other.number, other.fence)
		}
	}
}

// delayedEffect makes an effect after a delay, even if the process has died since: the request is on its way to the provider.
func (w *world) delayedEffect(r *run, delay time.Duration) {
	w.background.Go(func() {
		time.Sleep(delay)

		w.history.mu.Lock()
		defer w.history.mu.Unlock()

		w.record(r)
	})
}

// found returns the number of effects of an identity in the ledger.
func (w *world) found(id onlyonce.Identity) int {
	if w.ledger != nil {
		return len(w.ledger.runsOf(id))
	}

	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	n := 0

	for _, r := range w.history.runs {
		if r.attempt.id == id {
			n += r.effects
		}
	}

	return n
}

// receipt makes an answer from the ledger, for an effect whose own answer is lost. It names the identity, its author
// and the time.
func (w *world) receipt(id onlyonce.Identity, by string) string {
	if w.ledger != nil {
		w.close()
	}

	w.history.mu.Lock()
	defer w.history.mu.Unlock()

	name := "nobody"

	for _, r := range w.history.runs {
		if r.attempt.id == id && r.effects > 0 {
			name = r.attempt.purpose.name
		}
	}

	return fmt.Sprintf("%v|%s|found by %s at %d", id, name, by, w.history.now())
}

// ledger is a ledger in the database of the records: an effect is a row, and has happened when it is committed.
type ledger interface {
	// handle runs the body of a handler, with an effect if effect is set.
	handle(ctx context.Context, p *process, r *run, effect bool, answer func() ([]byte, error)) ([]byte, error)
	// runsOf are the runs that have had effects, by their numbers.
	runsOf(id onlyonce.Identity) []int
}

// close copies the ledger in the database into the history.
func (w *world) close() {
	if w.ledger == nil {
		return
	}

	for _, id := range w.identities() {
		rows := w.ledger.runsOf(id)

		w.history.mu.Lock()

		for _, r := range w.history.runs {
			if r.attempt.id == id {
				r.effects = 0
			}
		}

		for _, number := range rows {
			w.history.runs[number].effects++
		}

		w.history.mu.Unlock()
	}
}
