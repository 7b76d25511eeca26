package onlyonce_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// crash makes a call on its own goroutine, and returns the value of its panic; nil if it did not panic.
func crash(e *onlyonce.Engine, call onlyonce.Call, fn func(context.Context) ([]byte, error)) (value any, returned bool) {
	done := make(chan struct{})

	go func() {
		defer close(done)
		defer func() { value = recover() }()

		_, _ = e.Do(context.Background(), call, fn)
		returned = true
	}()

	<-done

	return value, returned
}

func TestF33PanicIsRecordedByTheGuaranteeAndGoesOn(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		policy onlyonce.Policy
		state  store.State
		next   onlyonce.Reason
	}{
		"at most once":  {onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}, store.Unknown, onlyonce.ReasonOutcomeUnknown},
		"at least once": {onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}, store.Released, ""},
		"exactly once":  {onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction}, store.Released, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := new(journal)
				s := transactionalStore{newFaultStore()}
				e := newEngine(t, s, onlyonce.WithPolicy(tt.policy), onlyonce.WithObserver(seen))
				value := new(int)

				var p payments

				got, returned := crash(e, pay("k"), func(context.Context) ([]byte, error) {
					p.runs.Add(1)
					panic(value)
				})

				if got != any(value) || returned {
					t.Errorf("the panic was %v, want the handler's own value", got)
				}

				mustBeState(t, e, tt.state)

				if calls := seen.of(onlyonce.EventCall); len(calls) != 1 || calls[0].Status != onlyonce.StatusUnknown || calls[0].Err == nil {
					t.Errorf("events of the call: %+v, want one with status unknown and an error", calls)
				}

				if tt.next != "" {
					rejection := do(t, e, pay("k"), p.do).rejection(t, tt.next)
					if rejection.Metadata["original_code"] != "PANIC" {
						t.Errorf("the metadata is %v, want the code PANIC", rejection.Metadata)
					}
				} else {
					do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
				}

				if err := e.Drain(t.Context()); err != nil { // no call is still counted in
					t.Errorf("Drain: %v", err)
				}
			})
		})
	}
}

func TestF33GoexitIsAnAmbiguousEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, newFaultStore())

		value, returned := crash(e, pay("k"), func(context.Context) ([]byte, error) {
			runtime.Goexit()

			return nil, nil
		})

		if value != nil || returned {
			t.Errorf("Do returned %v or panicked with %v, want neither", returned, value)
		}

		mustBeState(t, e, store.Unknown)

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestF33DuplicatesOfAPanicDoNotPanic(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		guarantee onlyonce.Guarantee
		reason    onlyonce.Reason
	}{
		"at most once":  {onlyonce.AtMostOnce, onlyonce.ReasonOutcomeUnknown},
		"at least once": {onlyonce.AtLeastOnce, onlyonce.ReasonInProgress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, newFaultStore(), withGuarantee(tt.guarantee))

				var p payments

				go crash(e, pay("k"), func(context.Context) ([]byte, error) {
					time.Sleep(time.Second)
					panic("no")
				})

				synctest.Wait()

				duplicates := make([]<-chan answer, 10)
				for i := range duplicates {
					duplicates[i] = inBackground(t.Context(), e, pay("k"), p.do)
				}

				for _, duplicate := range duplicates {
					(<-duplicate).mustBeRejected(t, tt.reason)
				}

				p.mustHaveRun(t, 0)
			})
		})
	}
}

func TestF33PanicOfAnUnprotectedRunGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(seen),
			onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}))
		s.broken(lostRequest, opClaim)

		if value, _ := crash(e, pay("k"), func(context.Context) ([]byte, error) { panic("no") }); value != any("no") {
			t.Errorf("the panic was %v, want the handler's own value", value)
		}

		if calls := seen.of(onlyonce.EventCall); len(calls) != 1 || calls[0].Status != onlyonce.StatusUnprotected {
			t.Errorf("events of the call: %+v, want one with status unprotected", calls)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
	})
}

// A panic goes on, so the handler does not run again, even if its transaction conflicted with another one.
func TestF33PanicAfterAConflictEndsTheCall(t *testing.T) {
	t.Parallel()

	seen := new(journal)
	e := newEngine(t, txstore.New(), onlyonce.WithObserver(seen), onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}))

	clash := func(ctx context.Context) ([]byte, error) { panic(txstore.Clash(ctx)) }

	if value, _ := crash(e, pay("k"), clash); value != any(txstore.ErrConflict) {
		t.Errorf("the panic was %v, want the handler's own value", value)
	}

	if calls := seen.of(onlyonce.EventCall); len(calls) != 1 || calls[0].Status != onlyonce.StatusUnknown || calls[0].Err == nil {
		t.Errorf("events of the call: %+v, want one with status unknown and an error", calls)
	}

	if conflicts := seen.of(onlyonce.EventConflict); len(conflicts) != 0 {
		t.Errorf("an event reports that the handler runs again: %+v", conflicts)
	}

	do(t, e, pay("k"), new(payments).do).mustBe(t, onlyonce.StatusExecuted, "#1")
}

// The functions of a program that run around the handler may panic too. The key must not stay occupied.
func TestF33PanicOfTheTraceFunctionLeavesTheKeyFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		e := newEngine(t, newFaultStore(), onlyonce.WithTrace(func(context.Context) string {
			if broken {
				panic("no")
			}

			return ""
		}))

		var p payments

		if value, _ := crash(e, pay("k"), p.do); value != any("no") {
			t.Errorf("the panic was %v, want the function's own value", value)
		}

		broken = false

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		(<-inBackground(ctx, e, pay("k"), p.do)).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestF33PanicOfAReplayCheckWithdrawsTheClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)

		var p payments

		first := inBackground(t.Context(), newEngine(t, s), pay("k"), p.lasting(time.Second))

		synctest.Wait()
		s.next(opClaim, lostRequest) // its next copy finds the run

		call := pay("k")
		call.ReplayCheck = func(context.Context) error { panic("no") }

		if value, _ := crash(e, call, p.do); value != any("no") {
			t.Errorf("the panic was %v, want the check's own value", value)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}

		if n := s.count(opRelease); n != 1 {
			t.Errorf("the claim was released %d times, want once", n)
		}

		(<-first).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestF33StoreThatIsDownDoesNotHoldUpAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opHold, lostRequest, lostReply)

		began := time.Now()

		if value, _ := crash(e, pay("k"), func(context.Context) ([]byte, error) { panic("no") }); value != any("no") {
			t.Errorf("the panic was %v, want the handler's own value", value)
		}

		if took := time.Since(began); took != 0 {
			t.Errorf("the panic was held up for %v", took)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}

		mustBeState(t, e, store.Unknown)
	})
}
