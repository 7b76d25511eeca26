package onlyonce_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

var errForbidden = errors.New("you may not see this payment")

// checks is a ReplayCheck that counts its calls.
type checks struct {
	asked atomic.Int64
	err   error
}

func (c *checks) on(call onlyonce.Call) onlyonce.Call {
	call.ReplayCheck = func(context.Context) error {
		c.asked.Add(1)

		return c.err
	}

	return call
}

func (c *checks) mustHaveBeenAsked(t *testing.T, times int64) {
	t.Helper()

	if n := c.asked.Load(); n != times {
		t.Errorf("ReplayCheck was asked %d times, want %d", n, times)
	}
}

func TestF27ReplayCheckIsNotCalledForTheRunsOwnCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())
		forbid := &checks{err: errForbidden}

		var p payments

		do(t, e, forbid.on(pay("k")), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, e, forbid.on(pay("r")), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		do(t, e, forbid.on(pay("r")), p.do).mustBe(t, onlyonce.StatusExecuted, "#3")
		forbid.mustHaveBeenAsked(t, 0)
	})
}

// The outcome of another run is another caller's, also for a run that it has overtaken.
func TestF62OvertakenCallerGetsTheOtherOutcomeOnlyIfItsOwnReplayCheckAllows(t *testing.T) {
	t.Parallel()

	for name, allowed := range map[string]bool{"allowed": true, "denied": false} {
		for ending, result := range map[string]error{"completes": nil, "gives the key back": onlyonce.NotExecuted(errLine)} {
			t.Run(name+", "+ending, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, first, second := twoEngines(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
					s.broken(lostRequest, opRenew)

					check := &checks{}
					if !allowed {
						check.err = errForbidden
					}

					var p payments

					paused := inBackground(t.Context(), first, check.on(pay("k")), func(context.Context) ([]byte, error) {
						time.Sleep(20 * time.Second)

						return []byte("mine"), result
					})

					time.Sleep(16 * time.Second)
					do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")

					if got := <-paused; allowed {
						got.mustBe(t, onlyonce.StatusReplayed, "#1")
					} else {
						got.mustFail(t, onlyonce.StatusRejected, errForbidden)
					}

					check.mustHaveBeenAsked(t, 1)
				})
			})
		}
	}
}

// Callers without permission see another call's outcome on no path, and are rejected at once.
func TestF27ReplayCheckGuardsEveryReplayAndEveryWait(t *testing.T) {
	t.Parallel()

	for name, result := range map[string]error{
		"completed": nil, "completed with an error": onlyonce.Final(errLine), "held": errLine,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, first, second := twoEngines(t, onlyonce.Policy{})

				var p payments

				running := inBackground(t.Context(), first, pay("k"), func(context.Context) ([]byte, error) {
					time.Sleep(5 * time.Second)

					return []byte("secret"), result
				})

				synctest.Wait()

				refused := func(e *onlyonce.Engine) {
					forbid := &checks{err: errForbidden}
					got := do(t, e, forbid.on(pay("k")), p.do)
					got.mustFail(t, onlyonce.StatusRejected, errForbidden)

					if len(got.Body) != 0 {
						t.Errorf("a refused caller got %q", got.Body)
					}

					forbid.mustHaveBeenAsked(t, 1)
				}

				began := time.Now()

				refused(first)  // a follower of the run
				refused(second) // a leader that would wait for it

				waiting := inBackground(t.Context(), second, pay("k"), p.do)

				synctest.Wait()
				refused(second) // a follower of a leader that waits

				if took := time.Since(began); took != 0 {
					t.Errorf("the refusals took %v", took)
				}

				<-running
				<-waiting
				refused(first)
				refused(second)

				forbid := &checks{err: errForbidden}
				do(t, first, forbid.on(payOther("k")), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
				forbid.mustHaveBeenAsked(t, 0)
				p.mustHaveRun(t, 0)
			})
		})
	}
}

func TestF27ReplayCheckIsCalledOncePerCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, first, second := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		var follows, leads, succeeds, replays checks

		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()

		follower := inBackground(t.Context(), first, follows.on(pay("k")), p.do)
		leader := inBackground(short, second, leads.on(pay("k")), p.do)

		synctest.Wait()

		successor := inBackground(t.Context(), second, succeeds.on(pay("k")), p.do)

		(<-leader).mustBeRejected(t, onlyonce.ReasonInProgress)

		(<-follower).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-successor).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, second, replays.on(pay("k")), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		for _, c := range []*checks{&follows, &leads, &succeeds, &replays} {
			c.mustHaveBeenAsked(t, 1)
		}
	})
}

func TestF27ReplayCheckGuardsTheSharedErrorOfAReleasedRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, slow(time.Second))

		var p payments

		leader := inBackground(t.Context(), e, pay("k"), p.failing(onlyonce.NotExecuted(errLine)))

		synctest.Wait()

		forbid := &checks{err: errForbidden}
		refused := inBackground(t.Context(), e, forbid.on(pay("k")), p.do)

		(<-leader).mustFail(t, onlyonce.StatusReleased, errLine)
		(<-refused).mustFail(t, onlyonce.StatusRejected, errForbidden)
		forbid.mustHaveBeenAsked(t, 1)
	})
}
