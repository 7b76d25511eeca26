package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// answer is the result of an operation.
type answer struct {
	res store.Result
	err error
}

// send claims in the background.
func send(ctx context.Context, s *redisstore.Store, claim store.Claim) <-chan answer {
	done := make(chan answer, 1)

	go func() {
		res, err := s.Claim(ctx, claim)
		done <- answer{res, err}
	}()

	return done
}

// receive waits for an answer, which must come.
func receive(t *testing.T, done <-chan answer) answer {
	t.Helper()

	select {
	case got := <-done:
		return got
	case <-time.After(patience):
		t.Fatalf("no answer within %v", patience)

		return answer{}
	}
}

// fill starts as many operations as may be under way, behind a shut gate. Further operations have to wait.
func fill(t *testing.T, s *redisstore.Store, g *gate) []<-chan answer {
	t.Helper()

	g.shut()

	flights := make([]<-chan answer, redisstore.MaxFlights)
	for i := range flights {
		flights[i] = send(t.Context(), s, newClaim())
		g.await(t, i+1) // so that it is a batch of its own
	}

	return flights
}

// queue sends a claim that has to wait for others.
func queue(ctx context.Context, t *testing.T, s *redisstore.Store, claim store.Claim) <-chan answer {
	t.Helper()

	before := redisstore.Waiting(s)
	done := send(ctx, s, claim)

	eventually(t, "it waits", func() bool { return redisstore.Waiting(s) > before })

	return done
}

// mustWin checks that the claims have won and that the lane is empty.
func mustWin(t *testing.T, s *redisstore.Store, all ...<-chan answer) {
	t.Helper()

	for _, done := range all {
		got := receive(t, done)
		must(t, got.res, got.err)
	}

	eventually(t, "nothing is under way", func() bool { return redisstore.Flights(s) == 0 && redisstore.Waiting(s) == 0 })
}

func TestAnOperationThatIsGivenUpWhileItWaitsIsNeverSent(t *testing.T) {
	t.Parallel()

	for _, how := range ends() {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()

			s, g := gated(t, redistest.Standalone(t).Addr())
			flights := fill(t, s, g)

			gone := newClaim()
			ctx, end := how.start(t.Context())
			waits := queue(ctx, t, s, gone)
			stays := queue(t.Context(), t, s, newClaim())

			end()

			if got := receive(t, waits); !errors.Is(got.err, how.err) {
				t.Errorf("it returned %v", got.err)
			}

			if n := redisstore.Waiting(s); n != 1 {
				t.Errorf("%d operations wait, want 1", n)
			}

			g.open()
			mustWin(t, s, append(flights, stays)...)
			mustBe(t, s, gone.Key, store.Absent)
		})
	}
}

// passing is a context whose deadline passes when the test says so, however slow the machine is.
type passing struct {
	context.Context

	passed chan struct{}
}

func (p passing) Done() <-chan struct{} { return p.passed }

func (p passing) Err() error {
	select {
	case <-p.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// ends are the ways in which a context ends.
func ends() []struct {
	name  string
	start func(parent context.Context) (context.Context, func())
	err   error
} {
	return []struct {
		name  string
		start func(parent context.Context) (context.Context, func())
		err   error
	}{
		{"its deadline passes", func(parent context.Context) (context.Context, func()) {
			ctx := passing{parent, make(chan struct{})}

			return ctx, func() { close(ctx.passed) }
		}, context.DeadlineExceeded},
		{"its caller cancels", func(parent context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(parent)

			return ctx, cancel
		}, context.Canceled},
	}
}

func TestTheFirstOfABatchThatIsGivenUpReturnsAtOnceAndTheOthersGetTheirAnswers(t *testing.T) {
	t.Parallel()

	for _, how := range ends() {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()

			s, g := gated(t, redistest.Standalone(t).Addr())
			flights := fill(t, s, g)

			ctx, end := how.start(t.Context())
			leads := queue(ctx, t, s, newClaim())
			others := []<-chan answer{queue(t.Context(), t, s, newClaim()), queue(t.Context(), t, s, newClaim())}

			g.step()
			g.await(t, len(flights)+1)

			if got := g.come()[len(flights):]; !slices.Equal(got, []int{3}) {
				t.Fatalf("the batches that came have %v commands, want 3", got)
			}

			end()

			if got := receive(t, leads); !errors.Is(got.err, how.err) {
				t.Errorf("the first returned %v", got.err)
			}

			for _, done := range others {
				select {
				case got := <-done:
					t.Errorf("another has got %v, %v", got.res, got.err)
				default:
				}
			}

			g.open()
			mustWin(t, s, append(flights, others...)...)
		})
	}
}

func TestAnyOfABatchThatIsGivenUpReturnsAtOnceAndTheOthersGetTheirAnswers(t *testing.T) {
	t.Parallel()

	for _, how := range ends() {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()

			s, g := gated(t, redistest.Standalone(t).Addr())
			flights := fill(t, s, g)

			leader := queue(t.Context(), t, s, newClaim())
			ctx, end := how.start(t.Context())
			follower := queue(ctx, t, s, newClaim())
			other := queue(t.Context(), t, s, newClaim())

			g.step()
			g.await(t, len(flights)+1)
			end()

			if got := receive(t, follower); !errors.Is(got.err, how.err) {
				t.Errorf("the follower returned %v", got.err)
			}

			g.open()
			mustWin(t, s, append(flights, leader, other)...)
		})
	}
}

func TestACallerWhoHasGoneSendsNothing(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	for name, connect := range map[string]func(t *testing.T, addr string) *redisstore.Store{
		"batching": func(t *testing.T, addr string) *redisstore.Store {
			t.Helper()

			return open(t, "redis://"+addr)
		},
		"without batching": func(t *testing.T, addr string) *redisstore.Store {
			t.Helper()

			return open(t, "redis://"+addr, redisstore.WithoutBatching())
		},
		"a client that does not heed contexts": func(t *testing.T, addr string) *redisstore.Store {
			t.Helper()

			return with(t, redis.NewClient(patient(redis.Options{Addr: addr})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			proxy := redistest.NewProxy(t, server.Addr())
			s := connect(t, proxy.Addr())

			proxy.Reset()

			ctx, cancel := context.WithCancel(t.Context())
			cancel()

			gone := newClaim()
			if _, err := s.Claim(ctx, gone); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}

			// A late claim would arrive after it.
			mustBe(t, s, gone.Key, store.Absent)

			for _, command := range proxy.Commands() {
				if n := len(command.Args); n > 3 && strings.Contains(command.Args[n-2], string(gone.Token[:])) {
					t.Errorf("it was sent: %s", command.Name)
				}
			}
		})
	}
}

func TestABatchThatFailsAsAWholeFailsForEverybody(t *testing.T) {
	t.Parallel()

	s, g := gated(t, redistest.Standalone(t).Addr())
	flights := fill(t, s, g)

	leader := queue(t.Context(), t, s, newClaim())
	other := queue(t.Context(), t, s, newClaim())

	g.broken = errors.New("a hook of the program's")
	g.step()

	for _, done := range []<-chan answer{leader, other} {
		if got := receive(t, done); !errors.Is(got.err, g.broken) {
			t.Errorf("got %v, %v", got.res, got.err)
		}
	}

	g.open()
	mustWin(t, s, flights...)
}

func TestAnOperationAloneIsGivenUpWithItsContext(t *testing.T) {
	t.Parallel()

	for _, how := range ends() {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()

			s, g := gated(t, redistest.Standalone(t).Addr())
			g.shut()

			ctx, end := how.start(t.Context())
			done := send(ctx, s, newClaim())
			g.await(t, 1)
			end()

			if got := receive(t, done); !errors.Is(got.err, how.err) {
				t.Errorf("got %v", got.err)
			}

			g.open()
			mustWin(t, s, send(t.Context(), s, newClaim()))
		})
	}
}

func TestEveryAnswerOfABatchGoesToItsCaller(t *testing.T) {
	t.Parallel()

	s, g := gated(t, redistest.Standalone(t).Addr())

	claims := make([]store.Claim, 50)
	for i := range claims {
		claims[i] = newClaim()
		start(t, s, claims[i])
	}

	flights := fill(t, s, g)

	var wg sync.WaitGroup

	for i, claim := range claims {
		wg.Go(func() {
			op := completion(claim, claim.Key.String())
			if i%5 == 0 {
				op.Token = newToken() // is refused
			}

			res, err := s.Complete(t.Context(), op)
			if err != nil || res.Applied != (i%5 != 0) || res.Record.Token != claim.Token ||
				res.Applied && string(res.Record.Outcome) != claim.Key.String() {
				t.Errorf("completion %d: %+v, %v", i, res, err)
			}
		})
	}

	eventually(t, "all wait", func() bool { return redisstore.Waiting(s) == len(claims) })
	g.open()
	wg.Wait()
	mustWin(t, s, flights...)
}
