package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// drain starts a drain and returns a channel for its result.
func (w *world) drain(ctx context.Context) <-chan error {
	drained := make(chan error, 1)

	go func() { drained <- w.engine.Drain(ctx) }()

	synctest.Wait()

	return drained
}

func TestF56_DrainRefusesNewCallsWhileTheRunningOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		here := start(t, setup{store: shared}, cancellable(5*time.Second, rich(answering("paid"))))
		there := start(t, setup{store: shared}, nil)

		running := here.payInBackground(t)

		synctest.Wait()

		waiting := here.payInBackground(t)

		synctest.Wait()

		began := time.Now()
		drained := here.drain(t.Context())

		here.pay(t, "key").mustBe(t, storeUnavailable)
		here.pay(t, "other").mustBe(t, storeUnavailable)

		paid := <-running
		paid.mustAnswer(t, "paid")
		paid.mustHaveStatus(t, onlyonce.StatusExecuted)
		(<-waiting).mustBeReplayOf(t, paid, paid.at)

		if err := <-drained; err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("Drain took %v: %v", time.Since(began), err)
		}

		here.pay(t, "key").mustBe(t, storeUnavailable)
		here.mustHaveRun(t, 1)
		there.pay(t, "key").mustBeReplayOf(t, paid, paid.at)
		there.mustHaveRun(t, 0)

		// The engine does not protect a call without a key.
		here.handle = answering("without a key")
		here.call(t.Context(), payment()).mustAnswer(t, "without a key")
	})
}

func TestF56_RunThatTheDrainCancelsReturnsItsOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			<-ctx.Done()

			return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, context.Cause(ctx).Error()))
		})

		running := w.payInBackground(t)

		synctest.Wait()

		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		if err := <-w.drain(short); err == nil {
			t.Error("Drain does not say that it ran out of time")
		}

		told := <-running
		told.mustFail(t, codes.Unavailable, onlyonce.ErrDraining.Error())
		told.mustHaveStatus(t, onlyonce.StatusReleased)
		w.mustHaveRun(t, 1)
	})
}
