package interceptor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// replicas are two servers on one store. The first cannot renew its leases.
func replicas(t *testing.T, p []interceptor.ServerOption) (here, there *world) {
	t.Helper()

	shared := memstore.New()
	line := &faultStore{Store: shared}
	line.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }

	return start(t, setup{store: line, server: p}, nil), start(t, setup{store: shared, server: p}, nil)
}

// afterTheLease waits until others may take over a key that was claimed at this moment.
func afterTheLease() { time.Sleep(onlyonce.DefaultLease + time.Second) }

func TestF16_OvertakenRunAnswersWithTheWinnersOutcome(t *testing.T) {
	outcomes := map[string]handlerFunc{
		"response": rich(answering("winner")),
		"error":    rich(failing(status.Error(codes.NotFound, "nobody"))),
	}

	for name, winning := range outcomes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := replicas(t, atLeastOnce())
				here.handle = after(20*time.Second, sendingNothing(answering("overtaken")))
				there.handle = winning

				overtaken := here.payInBackground(t)

				afterTheLease()

				winner := there.pay(t, "key")
				winner.mustHaveStatus(t, onlyonce.StatusExecuted)

				(<-overtaken).mustBeReplayOf(t, winner, winner.at)
				here.pay(t, "key").mustBeReplayOf(t, winner, winner.at)
				here.mustHaveRun(t, 1)
				there.mustHaveRun(t, 1)
			})
		})
	}
}

// sendingNothing sets metadata that only the handler's own answer may carry.
func sendingNothing(next handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_, _ = rich(next)(ctx, req)

		return next(ctx, req)
	}
}

func TestF16_ClientOfAnOvertakenRunGetsTheWinnersOutcomeByRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := replicas(t, atLeastOnce())
		here.handle = after(20*time.Second, answering("overtaken"))
		there.handle = after(10*time.Second, answering("winner"))

		seen := &journal{}
		conn := here.clientConn(t, seen.option())
		overtaken := background(func() answer {
			return callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key"))
		})

		afterTheLease()
		there.pay(t, "key").mustAnswer(t, "winner")

		(<-overtaken).mustAnswer(t, "winner")
		here.mustHaveRun(t, 1)
		there.mustHaveRun(t, 1)

		attempts := seen.seen()
		if first := (answer{err: attempts[0].Err}); first.info(t).GetReason() != string(onlyonce.ReasonLeaseLost) {
			t.Errorf("the first of %d attempts ended with %v", len(attempts), first.err)
		}
	})
}

func TestF17_LateOwnerSettlesItsOwnUnknownRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := replicas(t, nil)
		here.handle = after(20*time.Second, rich(answering("late")))

		first := here.payInBackground(t)

		afterTheLease()
		there.pay(t, "key").mustBe(t, outcomeUnknown)

		late := <-first
		late.mustAnswer(t, "late")
		late.mustHaveStatus(t, onlyonce.StatusExecuted)
		there.pay(t, "key").mustBeReplayOf(t, late, late.at)
		there.mustHaveRun(t, 0)
	})
}

func TestF17F59_LateOwnerAnswersWhatAnOperatorHasResolvedFirst(t *testing.T) {
	resolutions := map[string]struct {
		resp *pb.SimpleResponse
		err  error
	}{
		"response": {resp: &pb.SimpleResponse{Username: "resolved"}},
		"error":    {err: status.Error(codes.NotFound, "resolved by hand")},
	}

	for name, resolved := range resolutions {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := replicas(t, nil)
				here.handle = after(20*time.Second, rich(answering("late")))

				first := here.payInBackground(t)

				afterTheLease()

				resolve(t, there, found(t, resolved.resp, resolved.err))

				want := answer{resp: resolved.resp, err: resolved.err}
				ended := time.Now()

				(<-first).mustBeReplayOf(t, want, ended)
				here.pay(t, "key").mustBeReplayOf(t, want, ended)
				there.pay(t, "key").mustBeReplayOf(t, want, ended)
				here.mustHaveRun(t, 1)
				there.mustHaveRun(t, 0)
			})
		})
	}
}

// A completion and a takeover are held back until both have reached the store.
func TestF18_CompletionAndTakeoverAtOnceHaveOneWinner(t *testing.T) {
	const rounds = 300

	synctest.Test(t, func(t *testing.T) {
		var completion, takeover atomic.Pointer[chan struct{}]

		shared := memstore.New()
		owning, taking := &faultStore{Store: shared}, &faultStore{Store: shared}
		owning.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }
		owning.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
			<-*completion.Load()

			return shared.Complete(ctx, op)
		}
		taking.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
			<-*takeover.Load()

			return shared.Claim(ctx, op)
		}

		here := start(t, setup{store: owning, server: atLeastOnce()}, after(14*time.Second, answering("owner")))
		there := start(t, setup{store: taking, server: atLeastOnce()}, answering("successor"))

		var completed, taken int64

		for round := range rounds {
			key := fmt.Sprintf("key-%d", round)
			gates := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
			completion.Store(&gates[0])
			takeover.Store(&gates[1])

			owner := background(func() answer { return here.pay(t, key) })

			afterTheLease()

			successor := background(func() answer { return there.pay(t, key) })

			synctest.Wait()
			close(gates[round%2]) // each has its chance to be first
			close(gates[1-round%2])

			first, second := <-owner, <-successor
			settled := there.pay(t, key)

			switch {
			case second.status(t) == onlyonce.StatusReplayed:
				completed++

				first.mustAnswer(t, "owner")
				first.mustHaveStatus(t, onlyonce.StatusExecuted)
				second.mustBeReplayOf(t, first, first.at)
				settled.mustBeReplayOf(t, first, first.at)
			case first.err != nil: // while the successor ran
				taken++

				first.mustBe(t, leaseLost)
				second.mustAnswer(t, "successor")
				second.mustHaveStatus(t, onlyonce.StatusExecuted)
				settled.mustBeReplayOf(t, second, second.at)
			default: // when the successor had finished
				taken++

				second.mustAnswer(t, "successor")
				second.mustHaveStatus(t, onlyonce.StatusExecuted)
				first.mustBeReplayOf(t, second, second.at)
				settled.mustBeReplayOf(t, second, second.at)
			}
		}

		here.mustHaveRun(t, rounds)
		there.mustHaveRun(t, taken)

		if completed == 0 || taken == 0 {
			t.Errorf("%d completions and %d takeovers were first: they have not met", completed, taken)
		}
	})
}
