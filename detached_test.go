package onlyonce_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// leaving makes calls of a scope whose callers then leave all at once, and returns their answers.
func leaving(t *testing.T, e *onlyonce.Engine, scope string, calls int, p *payments) []<-chan answer {
	t.Helper()

	ctx, leave := context.WithCancel(t.Context())
	answers := make([]<-chan answer, calls)

	for i := range answers {
		call := pay(fmt.Sprint("k", i))
		call.Scope = scope
		answers[i] = inBackground(ctx, e, call, p.obedient(20*time.Second))
	}

	time.Sleep(onlyonce.Lasting)
	leave()
	synctest.Wait()

	return answers
}

// outcomes counts the answers by their errors.
func outcomes(answers []<-chan answer) (finished, ended int) {
	for _, a := range answers {
		if got := <-a; got.err == nil {
			finished++
		} else {
			ended++
		}
	}

	return finished, ended
}

// The bound holds whatever was admitted before: the runs beyond it end with their callers.
func TestF65NoMoreRunsAreDetachedThanTheBoundAllows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 10}))

		var p payments

		answers := leaving(t, e, "", 500, &p)

		if n := e.Detached(); n != 10 {
			t.Errorf("%d runs are detached, want 10", n)
		}

		if finished, ended := outcomes(answers); finished != 10 || ended != 490 {
			t.Errorf("%d runs went on and %d ended, want 10 and 490", finished, ended)
		}

		if n := e.Detached(); n != 0 {
			t.Errorf("%d runs are detached after their end, want none", n)
		}

		do(t, e, pay("next"), p.lasting(0)).mustBe(t, onlyonce.StatusExecuted, string([]byte{'#', byte('0' + p.runs.Load())}))
	})
}

// A caller costs less while nobody watches it. Those who leave meanwhile are counted once their runs last.
func TestF65RunsWhoseCallersLeaveEarlyAreCountedOnceTheyLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 10}))

		var long, short payments

		ctx, leave := context.WithCancel(t.Context())
		answers := make([]<-chan answer, 20)

		for i := range answers {
			answers[i] = inBackground(ctx, e, pay(fmt.Sprint("long", i)), long.obedient(20*time.Second))
		}

		brief := inBackground(ctx, e, pay("short"), short.lasting(onlyonce.Lasting-20*time.Millisecond))

		synctest.Wait()
		leave()
		synctest.Wait()

		if n := e.Detached(); n != 0 {
			t.Errorf("%d runs are detached at once, want none", n)
		}

		(<-brief).mustBe(t, onlyonce.StatusExecuted, "#1")
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()

		if n := e.Detached(); n != 10 {
			t.Errorf("%d runs are detached, want 10", n)
		}

		do(t, e, pay("next"), short.do).mustBeRejected(t, onlyonce.ReasonStoreFull)

		if finished, ended := outcomes(answers); finished != 10 || ended != 10 {
			t.Errorf("%d runs went on and %d ended, want 10 and 10", finished, ended)
		}
	})
}

func TestF65RunBeyondTheBoundLearnsWhyItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 1}))

		var p payments

		causes := 0

		for _, a := range leaving(t, e, "", 2, &p) {
			if got := <-a; got.err != nil {
				got.mustFail(t, onlyonce.StatusUnknown, onlyonce.ErrTooManyDetached)

				causes++
			}
		}

		if causes != 1 {
			t.Errorf("%d runs ended, want 1", causes)
		}
	})
}

func TestF72OneScopeLeavesRoomForTheDetachedRunsOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 10}))

		var greedy, modest, shared payments

		first := leaving(t, e, "greedy", 20, &greedy)

		refused := pay("one-more")
		refused.Scope = "greedy"
		do(t, e, refused, greedy.do).mustBeRejected(t, onlyonce.ReasonStoreFull)

		second := leaving(t, e, "modest", 3, &modest)
		third := leaving(t, e, "", 2, &shared) // callers who share one scope on purpose have no share

		for name, tt := range map[string]struct {
			answers []<-chan answer
			want    int
		}{"greedy": {first, 5}, "modest": {second, 3}, "shared": {third, 2}} {
			if finished, _ := outcomes(tt.answers); finished != tt.want {
				t.Errorf("%d detached runs of %s went on, want %d", finished, name, tt.want)
			}
		}
	})
}

func TestF72OneScopeLeavesRoomForTheWaitersOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxWaiters: 10}))

		var p payments

		calls := func(scope string, n int) []<-chan answer {
			answers := make([]<-chan answer, n)

			for i := range answers {
				call := pay("k")
				call.Scope = scope
				answers[i] = inBackground(t.Context(), e, call, p.lasting(5*time.Second))
			}

			synctest.Wait()

			return answers
		}

		greedy := calls("greedy", 1+8)
		modest := calls("modest", 1+5)

		if finished, turnedAway := outcomes(greedy); finished != 1+5 || turnedAway != 3 {
			t.Errorf("%d calls of the greedy scope were answered and %d turned away, want 6 and 3", finished, turnedAway)
		}

		if finished, turnedAway := outcomes(modest); finished != 1+5 || turnedAway != 0 {
			t.Errorf("%d calls of the modest scope were answered and %d turned away, want 6 and none", finished, turnedAway)
		}
	})
}
