package interceptor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// cancellable answers after a while with metadata that it sets at the end, or obeys its cancellation.
func cancellable(d time.Duration, last handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-when", "before"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-when", "before"))

		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}

		late := metadata.Pairs("x-when", "after")
		if err := errors.Join(grpc.SetHeader(ctx, late), grpc.SetTrailer(ctx, late), ctx.Err()); err != nil {
			return nil, err // a careful handler returns the error, and would turn a finished payment into an ambiguous one
		}

		return last(ctx, req)
	}
}

func TestF20_CallerCancelsWhileTheHandlerRuns(t *testing.T) {
	outcomes := map[string]handlerFunc{
		"response":                      answering("paid"),
		"error":                         failing(status.Error(codes.NotFound, "nobody")),
		"response after its own header": sendingHeader(answering("paid")),
	}

	for name, last := range outcomes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{}, cancellable(10*time.Second, last))
				whole := w.pay(t, "twin")

				gone, cancel := context.WithCancel(t.Context())
				first := background(func() answer { return w.call(withKey(gone, "key"), payment()) })

				time.Sleep(time.Second)
				cancel()

				if code := status.Code((<-first).err); code != codes.Canceled {
					t.Errorf("the caller who cancelled got %v", code)
				}

				ended := time.Now().Add(9 * time.Second)

				retry := w.pay(t, "key") // waits for the run, which goes on
				retry.mustBeReplayOf(t, whole, ended)

				if !retry.at.Equal(ended) {
					t.Errorf("the retry was answered at %v, the run ended at %v", retry.at, ended)
				}

				w.mustHaveRun(t, 2)
			})
		})
	}
}

func sendingHeader(next handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		if err := grpc.SendHeader(ctx, metadata.Pairs("x-sent", "by hand")); err != nil {
			return nil, err
		}

		return next(ctx, req)
	}
}

func TestF20_CallerCancelsWhileTheKeyIsClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		faults.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
			if faults.claims.Load() == 1 {
				time.Sleep(5 * time.Second) // it wins in the end
			}

			return faults.Store.Claim(context.WithoutCancel(ctx), op)
		}

		w := start(t, setup{store: faults}, answering("paid"))

		gone, cancel := context.WithCancel(t.Context())
		first := background(func() answer { return w.call(withKey(gone, "key"), payment()) })

		time.Sleep(time.Second)
		cancel()
		<-first

		retry := w.pay(t, "key")
		retry.mustAnswer(t, "paid")
		retry.mustHaveStatus(t, onlyonce.StatusExecuted)
		w.mustHaveRun(t, 1)
	})
}

func TestF20_CallerCancelsWhileTheOutcomeIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := newFaultStore()
		faults.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
			select {
			case <-time.After(5 * time.Second):
				return faults.Store.Complete(ctx, op)
			case <-ctx.Done():
				return store.Result{}, ctx.Err()
			}
		}

		w := start(t, setup{store: faults}, answering("paid"))

		gone, cancel := context.WithCancel(t.Context())
		first := background(func() answer { return w.call(withKey(gone, "key"), payment()) })

		time.Sleep(time.Second)
		cancel()
		<-first

		retry := w.pay(t, "key")
		retry.mustAnswer(t, "paid")
		retry.mustHaveStatus(t, onlyonce.StatusReplayed)
		w.mustHaveRun(t, 1)
	})
}

func TestF20_RunThatIsNotDetachedEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attached := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached})
		ended := make(chan error, 2)

		w := start(t, setup{server: attached}, func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			resp, err := cancellable(10*time.Second, answering("paid"))(ctx, req)
			ended <- err

			return resp, err
		})

		gone, cancel := context.WithCancel(t.Context())
		first := background(func() answer { return w.call(withKey(gone, "key"), payment()) })

		time.Sleep(time.Second)
		cancel()
		<-first

		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("the run ended with %v, want CANCELLED", err)
		}

		synctest.Wait() // a retry before the run is settled shares its answer

		// The cancellation is not a definite answer: the handler may have taken effect.
		retry := w.pay(t, "key")
		retry.mustAnswer(t, "paid")
		retry.mustHaveStatus(t, onlyonce.StatusExecuted)
		w.mustHaveRun(t, 2)
	})
}

func TestF72_AttachedRunsAreRefusedWhereEachCancellationWouldLeaveAnUnknownRecord(t *testing.T) {
	attached := interceptor.Policy{Policy: onlyonce.Policy{Detachment: onlyonce.Attached}}

	_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithMethodPolicy(unaryCall, attached))
	mustName(t, err, "policy of method "+unaryCall, "Detachment is Attached under AT_MOST_ONCE", "give Detached")

	_, service := declaration{method: method("detached: false")}.register(t)
	mustName(t, validate(servicesOf(service), engine(t)),
		"/"+string(service.FullName())+"/Pay", "Detachment is Attached under AT_MOST_ONCE")
}

func TestF21_DeadlinePassesDuringTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left, run time.Duration

		w := start(t, setup{}, cancellable(10*time.Second, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			asked, _ := onlyonce.CallerDeadline(ctx)
			deadline, _ := ctx.Deadline()
			left, run = time.Until(asked), time.Until(deadline)

			return &pb.SimpleResponse{Username: "paid"}, nil
		}))

		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()

		first := w.call(withKey(short, "key"), payment())
		if code := status.Code(first.err); code != codes.DeadlineExceeded {
			t.Errorf("the caller with the short deadline got %v", code)
		}

		retry := w.pay(t, "key")
		retry.mustAnswer(t, "paid")
		retry.mustHaveStatus(t, onlyonce.StatusReplayed)
		w.mustHaveRun(t, 1)

		if left != -8*time.Second || run != 15*time.Second {
			t.Errorf("at 10 s the caller's deadline was %v away and the run's %v; want -8s and 15s", left, run)
		}
	})
}

func TestF23_OnlyTheWaiterWithTheShortDeadlineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, after(8*time.Second, answering("paid")))
		first, patient := w.payInBackground(t), w.payInBackground(t)

		time.Sleep(time.Second)

		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()

		began := time.Now()
		a := w.call(withKey(short, "key"), payment())

		// The rejection arrives before the caller's deadline.
		a.mustBe(t, inProgress)

		if waited := a.at.Sub(began); waited < 2500*time.Millisecond || waited >= 3*time.Second {
			t.Errorf("it waited %v of its 3 s", waited)
		}

		(<-first).mustAnswer(t, "paid")
		(<-patient).mustAnswer(t, "paid")
		w.mustHaveRun(t, 1)
	})
}

func TestRunIsBoundedByMaxRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error

		w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			<-ctx.Done()

			cause = context.Cause(ctx)

			return nil, ctx.Err()
		})

		began := time.Now()
		a := w.pay(t, "key")
		a.mustHaveStatus(t, onlyonce.StatusUnknown)

		if took := a.at.Sub(began); took != onlyonce.DefaultMaxRun || !errors.Is(cause, onlyonce.ErrMaxRun) {
			t.Errorf("the run ended after %v with %v", took, cause)
		}

		w.pay(t, "key").mustBe(t, outcomeUnknown)
	})
}
