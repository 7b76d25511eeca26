package onlyonce_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// F24: another request under a key is rejected, and the rejection has the state of the first request.
func TestF24OtherRequestUnderTheSameKeyIsRefusedInEveryState(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		guarantee onlyonce.Guarantee
		err       error
	}{
		"completed":               {onlyonce.AtMostOnce, nil},
		"completed with an error": {onlyonce.AtMostOnce, onlyonce.Final(errLine)},
		"released":                {onlyonce.AtMostOnce, onlyonce.NotExecuted(errLine)},
		"released, ambiguous":     {onlyonce.AtLeastOnce, errLine},
		"held as unknown":         {onlyonce.AtMostOnce, errLine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, first, second := twoEngines(t, onlyonce.Policy{Guarantee: tt.guarantee})

				var p payments

				_, _ = first.Do(t.Context(), pay("k"), p.failing(tt.err))

				for _, e := range []*onlyonce.Engine{first, second} {
					rejection := do(t, e, payOther("k"), p.do).rejection(t, onlyonce.ReasonKeyReused)
					if rejection.RetryAfter != 0 {
						t.Errorf("RetryAfter = %v: trying again is of no use", rejection.RetryAfter)
					}

					if got := onlyonce.VerdictOf(rejection); got != onlyonce.VerdictUnknown {
						t.Errorf("VerdictOf = %v, want unknown", got)
					}
				}

				p.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF24OtherRequestIsRefusedAtOnceWhileTheFirstRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, first, second := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		waiting := inBackground(t.Context(), second, pay("k"), p.do) // leads a wait in the second engine

		synctest.Wait()

		began := time.Now()

		for _, e := range []*onlyonce.Engine{first, second} {
			do(t, e, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)
		}

		if took := time.Since(began); took != 0 {
			t.Errorf("the refusals took %v", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		(<-waiting).mustBe(t, onlyonce.StatusReplayed, "#1")
	})
}

func TestF24OtherRequestIsRefusedWhileAnotherEngineRunsTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, first, second := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()

		began := time.Now()
		do(t, second, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)

		if took := time.Since(began); took != 0 {
			t.Errorf("the refusal took %v", took)
		}

		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

// Callers that wait during the claim are compared with the record, not with the call that leads.
func TestF24FollowersAreComparedWithTheRecordAndNotWithTheirLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, second, first := twoEngines(t, onlyonce.Policy{})

		var p payments

		running := inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

		synctest.Wait()
		s.next(opClaim, slow(time.Second))

		leader := inBackground(t.Context(), second, payOther("k"), p.do)

		synctest.Wait()

		honest := inBackground(t.Context(), second, pay("k"), p.do)
		alike := inBackground(t.Context(), second, payOther("k"), p.do)

		(<-leader).mustBeRejected(t, onlyonce.ReasonKeyReused)
		(<-alike).mustBeRejected(t, onlyonce.ReasonKeyReused)
		(<-honest).mustBe(t, onlyonce.StatusReplayed, "#1")
		(<-running).mustBe(t, onlyonce.StatusExecuted, "#1")
		p.mustHaveRun(t, 1)
	})
}

// The leader's fingerprint has another scheme than the record's, so it proves nothing about the record's request.
func TestF24FollowersOfALeaderWithAnotherSchemeAreComparedWithTheRecord(t *testing.T) {
	t.Parallel()

	for name, runsHere := range map[string]bool{"which runs": true, "which waits": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, first, second := twoEngines(t, onlyonce.Policy{})

				var p payments

				do(t, first, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)

				running := make(<-chan answer)
				if !runsHere {
					running = inBackground(t.Context(), first, pay("k"), p.lasting(5*time.Second))

					synctest.Wait()
				}

				call := pay("k")
				call.Fingerprint = store.Fingerprint{Scheme: 7}
				leader := inBackground(t.Context(), second, call, p.lasting(5*time.Second))

				synctest.Wait()

				began := time.Now()
				do(t, second, payOther("k"), p.do).mustBeRejected(t, onlyonce.ReasonKeyReused)

				if took := time.Since(began); took != 0 {
					t.Errorf("the refusal took %v", took)
				}

				do(t, second, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#2")

				if got := <-leader; got.err != nil || string(got.Body) != "#2" {
					t.Errorf("the leader got %q, %v", got.Body, got.err)
				}

				if !runsHere {
					(<-running).mustBe(t, onlyonce.StatusExecuted, "#2")
				}
			})
		})
	}
}

// The record was released by the other engine after its first request had bound the key.
func TestF24FollowersOfAKeyBoundToAnotherRequestAreComparedWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, second, first := twoEngines(t, onlyonce.Policy{})

		var p payments

		do(t, first, pay("k"), p.failing(onlyonce.NotExecuted(errLine))).mustFail(t, onlyonce.StatusReleased, errLine)
		s.next(opClaim, slow(time.Second))

		leader := inBackground(t.Context(), second, payOther("k"), p.do)

		synctest.Wait()

		honest := inBackground(t.Context(), second, pay("k"), p.do)

		(<-leader).mustBeRejected(t, onlyonce.ReasonKeyReused)
		(<-honest).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestF24OtherRequestIsRefusedWhenItsWaitEndsWithASharedError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s)
		s.next(opClaim, slow(time.Second))

		var p payments

		leader := inBackground(t.Context(), e, pay("k"), p.failing(onlyonce.NotExecuted(errLine)))

		synctest.Wait()

		other := inBackground(t.Context(), e, payOther("k"), p.do) // the claim is under way, so the owner of the record is not known

		(<-leader).mustFail(t, onlyonce.StatusReleased, errLine)
		(<-other).mustBeRejected(t, onlyonce.ReasonKeyReused)
		p.mustHaveRun(t, 1)
	})
}

// The leader is answered from a record. Its followers get the same record, if it is theirs.
func TestF24FollowersOfAReplayAreComparedWithTheRecord(t *testing.T) {
	t.Parallel()

	for name, before := range map[string]error{"completed": nil, "held as unknown": errLine} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFaultStore()
				e := newEngine(t, s)

				var p payments

				_, _ = e.Do(t.Context(), pay("k"), p.failing(before))
				s.next(opClaim, slow(time.Second))

				leader := inBackground(t.Context(), e, pay("k"), p.do)

				synctest.Wait()

				other := inBackground(t.Context(), e, payOther("k"), p.do)

				(<-other).mustBeRejected(t, onlyonce.ReasonKeyReused)
				<-leader
				p.mustHaveRun(t, 1)

				if n := s.count(opClaim); n != 2 {
					t.Errorf("%d claims were sent, want 2", n)
				}
			})
		})
	}
}

func TestF24TwoRequestsThatRaceForAKeyHaveOneWinner(t *testing.T) {
	t.Parallel()

	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			_, first, second := twoEngines(t, onlyonce.Policy{})

			var p payments

			answers := make([]answer, 40)

			var wg sync.WaitGroup

			for i := range answers {
				wg.Go(func() {
					e, call := first, pay("k")
					if i%2 == 0 {
						e = second
					}

					if i/2%2 == 0 {
						call = payOther("k")
					}

					answers[i] = do(t, e, call, p.lasting(time.Millisecond))
				})
			}

			wg.Wait()
			p.mustHaveRun(t, 1)

			for parity := range 2 {
				won := answers[2*parity].err == nil

				for i, got := range answers {
					switch {
					case i/2%2 != parity:
					case won && (got.err != nil || string(got.Body) != "#1"):
						t.Fatalf("call %d of the winning request got %q, %v", i, got.Body, got.err)
					case !won:
						got.mustBeRejected(t, onlyonce.ReasonKeyReused)
					}
				}
			}
		})
	}
}
