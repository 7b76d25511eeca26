package onlyonce_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// leaving makes calls of one scope, cancels them all at once, and returns their answers.
func leaving(t *testing.T, e *onlyonce.Engine, scope string, calls int, p *payments) []<-chan answer {
	t.Helper()

	ctx, leave := context.WithCancel(t.Context())
	answers := make([]<-chan answer, calls)

	for i := range answers {
		call := pay(fmt.Sprint("k", i))
		call.Scope = scope
		answers[i] = inBackground(ctx, e, call, p.cancellable(20*time.Second))
	}

	synctest.Wait()
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

// guests is a model of calls that arrive, lose their callers and end, one at a time. It knows the bounds that must hold.
type guests struct {
	t *testing.T
	e *onlyonce.Engine
	// limit and share bound the detached runs: all of them, and those of one scope.
	limit, share int

	made    int
	there   []*guest       // runs whose callers are there
	gone    []*guest       // runs that go on without their callers
	goneFor map[string]int // of them, by scope
}

// guest is a run of the model.
type guest struct {
	scope  string
	leave  context.CancelFunc
	end    chan struct{}
	answer <-chan answer
}

func (c *guests) full(scope string) bool {
	return len(c.gone) == c.limit || scope != "" && c.goneFor[scope] == c.share
}

// come makes a call. It must be rejected exactly if too many runs are detached.
func (c *guests) come(scope string) {
	ctx, leave := context.WithCancel(c.t.Context())
	g := &guest{scope: scope, leave: leave, end: make(chan struct{})}
	c.made++

	call := pay(fmt.Sprint("k", c.made))
	call.Scope = scope
	g.answer = inBackground(ctx, c.e, call, func(ctx context.Context) ([]byte, error) {
		select {
		case <-g.end:
			return []byte("done"), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})

	synctest.Wait()

	if c.full(scope) {
		(<-g.answer).mustBeRejected(c.t, onlyonce.ReasonStoreFull)
		leave()
	} else {
		c.there = append(c.there, g)
	}
}

// leave cancels a call. Its run must end exactly if too many runs are detached.
func (c *guests) leave(i int) {
	g := c.there[i]
	c.there = slices.Delete(c.there, i, i+1)
	g.leave()
	synctest.Wait()

	if c.full(g.scope) {
		(<-g.answer).mustFail(c.t, onlyonce.StatusUnknown, onlyonce.ErrTooManyDetached)
	} else {
		c.gone = append(c.gone, g)
		c.goneFor[g.scope]++
	}
}

// end lets a run end. The run must not have been cancelled.
func (c *guests) end(g *guest) {
	close(g.end)
	(<-g.answer).mustBe(c.t, onlyonce.StatusExecuted, "done")
	g.leave()
}

func (c *guests) endOne(i int) {
	if i < len(c.there) {
		c.end(c.there[i])
		c.there = slices.Delete(c.there, i, i+1)

		return
	}

	i -= len(c.there)
	g := c.gone[i]
	c.goneFor[g.scope]--
	c.gone = slices.Delete(c.gone, i, i+1)
	c.end(g)
}

// Callers are watched only while there are many calls. The bound must hold as if all were watched from the beginning.
func TestF65BoundOfDetachedRunsHoldsHoweverCallersComeAndLeave(t *testing.T) {
	t.Parallel()

	seed := time.Now().UnixNano()

	for limit := 1; limit <= 12; limit++ {
		for _, share := range []float64{0.01, 0.5, 1} {
			t.Run(fmt.Sprint(limit, " share ", share, " seed ", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(uint64(seed), uint64(limit)))
					c := guests{
						t: t, limit: limit, share: max(int(float64(limit)*share), 1), goneFor: make(map[string]int),
						e: newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: limit, ScopeShare: share})),
					}

					for range 300 {
						runs := len(c.there) + len(c.gone)

						switch n := random.IntN(10); {
						case n < 4 || runs == 0:
							c.come([]string{"", "a", "b"}[random.IntN(3)])
						case n < 7 && len(c.there) > 0:
							c.leave(random.IntN(len(c.there)))
						case n < 9 || runs < 3*limit:
							c.endOne(random.IntN(runs))
						default:
							for len(c.there)+len(c.gone) > limit/3 {
								c.endOne(0)
							}
						}
					}

					for len(c.there)+len(c.gone) > 0 {
						c.endOne(0)
					}

					if n := c.e.Detached(); n != 0 {
						t.Errorf("%d runs are detached after their end, want none", n)
					}
				})
			})
		}
	}
}

// For the race detector: callers arrive, leave and end at the same time.
func TestF65BoundOfDetachedRunsHoldsForCallersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 8

		var (
			wg      sync.WaitGroup
			refused atomic.Int64
			e       = newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: limit}))
		)

		for i := range 64 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i)))
				nap := func() { time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) }

				for n := range 40 {
					ctx, leave := context.WithCancel(t.Context())
					call := pay(fmt.Sprint("k", i, "-", n))

					got := inBackground(ctx, e, call, func(ctx context.Context) ([]byte, error) {
						for range 10 {
							time.Sleep(time.Duration(1+(i+n)%20) * time.Millisecond)

							if ctx.Err() != nil {
								return nil, context.Cause(ctx)
							}
						}

						return nil, nil
					})

					nap()
					leave()

					if answer := <-got; answer.err != nil {
						refused.Add(1)
					}

					nap()
				}
			})
		}

		wg.Wait()

		if n := e.Detached(); n != 0 || refused.Load() == 0 {
			t.Errorf("%d runs are detached after their end, want none; %d calls were refused or ended, want some", n, refused.Load())
		}
	})
}

// The context of an attached run ends with that of its caller. A run that ignores its context goes on against its policy.
func TestF65RunsThatAreAttachedTakeNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 1}),
			onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached}))

		var p payments

		ctx, leave := context.WithCancel(t.Context())
		first := inBackground(ctx, e, pay("first"), p.lasting(20*time.Second)) // ignores its context
		second := inBackground(ctx, e, pay("second"), p.lasting(20*time.Second))

		synctest.Wait()
		leave()
		synctest.Wait()

		if n := e.Detached(); n != 0 {
			t.Errorf("%d runs are detached, want none", n)
		}

		do(t, e, pay("next"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		<-first
		<-second
	})
}

func TestF65RunBeyondTheBoundEndsWithTooManyDetached(t *testing.T) {
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
