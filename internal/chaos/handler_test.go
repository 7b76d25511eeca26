package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// ending is how a handler ends.
type ending int

const (
	succeeds    ending = iota // with its effect
	declines                  // for good, without effect
	refuses                   // without effect, and the key may be tried again
	isAmbiguous               // with or without effect
	panics
	exits // its goroutine
)

// plan is the behaviour of a handler.
type plan struct {
	before, after time.Duration // the effect, or where it would be
	ignores       bool          // its context
	ending        ending
	// effect counts where the ending leaves it open; delayed is after how long it happens.
	effect  bool
	delayed time.Duration
}

func (p *plan) String() string {
	return fmt.Sprintf("%v before and %v after, ignores %t, ending %d, effect %t after %v",
		p.before, p.after, p.ignores, p.ending, p.effect, p.delayed)
}

func randomPlan(rng *rand.Rand, s *scenario) plan {
	lease := s.policy.Lease
	p := plan{
		before:  between(rng, 0, lease/4),
		after:   between(rng, 0, lease/4),
		ignores: chance(rng, 0.2),
		effect:  chance(rng, 0.5),
	}

	switch n := rng.IntN(10); {
	case n < 3:
		p.before = 0
	case n < 7:
		p.before = between(rng, lease/2, s.policy.MaxRun+2*lease)
	}

	if chance(rng, 0.3) {
		p.after = between(rng, lease/2, s.policy.MaxRun+2*lease)
	}

	switch n := rng.IntN(100); {
	case n < 45:
		p.ending = succeeds
	case n < 55:
		p.ending = declines
	case n < 75:
		p.ending = refuses
	case n < 90:
		p.ending = isAmbiguous
	case n < 95:
		p.ending = panics
	default:
		p.ending = exits
	}

	if chance(rng, 0.3) {
		p.delayed = between(rng, 0, 2*lease)
	}

	return p
}

// promptPlan is a handler without faults.
func promptPlan() plan { return plan{ending: succeeds} }

// handlerError is an error of a handler. It contains its run.
type handlerError struct {
	run  *run
	text string
}

func (e *handlerError) Error() string { return e.text }

var errDied = errors.New("the process has died")

// handler makes the handler of an attempt.
func (w *world) handler(a *attempt) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		r := w.history.startRun(ctx, a)
		answered := false

		defer func() {
			if !answered {
				w.history.endRun(r, "", false, "without an answer")
			}
		}()

		body, err := w.handle(ctx, r)
		value, notExecuted := r.written, false

		if class, ok := onlyonce.MarkedClass(err); err == nil || ok && class == onlyonce.ClassDefinite {
			value = valueOf(body, err)
		} else {
			notExecuted = ok && class == onlyonce.ClassNotExecuted
		}

		answered = true

		w.history.endRun(r, value, notExecuted, fmt.Sprint(err))

		return body, err
	}
}

// valueOf is an answer in the form in which answers are compared.
func valueOf(body []byte, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}

	return "ok: " + string(body)
}

func (w *world) handle(ctx context.Context, r *run) ([]byte, error) {
	a, p := r.attempt, &r.attempt.plan
	name := fmt.Sprintf("%v|%s|run %d", a.id, a.purpose.name, r.number)
	end, _ := ctx.Deadline()
	grace := end.Add(a.process.world.scenario.policy.Lease * 9 / 10) // by then, even handlers that ignore their context end

	if !a.process.rest(ctx, p.before, grace, p.ignores) {
		return nil, errDied
	}

	if w.ledger != nil {
		return w.handleInTransaction(ctx, r, name, grace)
	}

	var err error

	switch happens := w.happens(ctx, r, grace); {
	case p.ending == declines:
		err = onlyonce.Final(&handlerError{r, name + " was declined"})
	case p.ending == refuses, p.ending == succeeds && !happens:
		err = onlyonce.NotExecuted(&handlerError{r, name + " was not executed"})
	case p.ending != succeeds:
		err = &handlerError{r, name + " ended ambiguously"}
	}

	if !a.process.rest(ctx, p.after, grace, p.ignores) {
		return nil, errDied
	}

	switch p.ending {
	case panics:
		panic(err)
	case exits:
		runtime.Goexit()
	case succeeds, declines, refuses, isAmbiguous:
	}

	if err != nil {
		return nil, err
	}

	return []byte(name + " was executed"), nil
}

// happens lets the effect happen if it is planned.
func (w *world) happens(ctx context.Context, r *run, grace time.Time) bool {
	p := &r.attempt.plan

	switch {
	case p.ending == succeeds, p.ending == refuses && w.habits.lyingHandlers:
		return w.effect(ctx, r)
	case p.ending == declines, p.ending == refuses, !p.effect:
		return false
	case p.delayed == 0:
		return w.effect(ctx, r)
	case ctx.Err() == nil || p.ignores:
		w.delayedEffect(r, min(p.delayed, max(time.Until(grace), 0)))
	}

	return false
}

// handleInTransaction is handle with a row as the effect. The handler's result counts only if the row is committed.
func (w *world) handleInTransaction(ctx context.Context, r *run, name string, grace time.Time) ([]byte, error) {
	a, p := r.attempt, &r.attempt.plan
	effect := p.ending == succeeds || p.effect

	return w.ledger.handle(ctx, a.process, r, effect, func() ([]byte, error) {
		if !a.process.rest(ctx, p.after, grace, p.ignores) {
			return nil, errDied
		}

		switch p.ending {
		case declines:
			return nil, onlyonce.Final(&handlerError{r, name + " was declined"})
		case refuses:
			return nil, onlyonce.NotExecuted(&handlerError{r, name + " was not executed"})
		case panics:
			panic(&handlerError{r, name + " panics"})
		case exits:
			runtime.Goexit()
		case isAmbiguous:
			return nil, &handlerError{r, name + " ended ambiguously"}
		case succeeds:
		}

		return []byte(name + " was executed"), nil
	})
}
