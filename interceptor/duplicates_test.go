package interceptor_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// flood makes calls of one key at the same time, and returns their answers.
func (w *world) flood(t *testing.T, calls int) []answer {
	t.Helper()

	answers := make(chan answer, calls)

	for range calls {
		go func() { answers <- w.pay(t, "key") }()
	}

	all := make([]answer, 0, calls)
	for range calls {
		all = append(all, <-answers)
	}

	return all
}

func TestF22_ThousandDuplicatesAtOnceGetTheOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{engine: []onlyonce.Option{
			onlyonce.WithLimits(onlyonce.Limits{MaxWaitersPerKey: 1000}),
		}}, after(time.Second, answering("paid")))
		said := make(map[onlyonce.Status]int)

		for _, a := range w.flood(t, 1000) {
			a.mustAnswer(t, "paid")
			said[a.status(t)]++
		}

		w.mustHaveRun(t, 1)

		if said["executed"] != 1 || said["replayed"] != 999 {
			t.Errorf("the statuses are %v, want 1 executed and 999 replayed", said)
		}
	})
}

func TestF22_DuplicatesPastTheBoundGetARetryableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, after(time.Second, answering("paid")))
		answered, refused := 0, 0

		for _, a := range w.flood(t, 1000) {
			if a.err == nil {
				answered++

				a.mustAnswer(t, "paid")

				continue
			}

			refused++

			a.mustBe(t, inProgress)
		}

		w.mustHaveRun(t, 1)

		if answered != 257 || refused != 743 {
			t.Errorf("%d answered and %d refused, want the run, its 256 waiters and 743", answered, refused)
		}
	})
}

func TestF22_ClientsPastTheBoundGetTheAnswerByRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{engine: []onlyonce.Option{
			onlyonce.WithLimits(onlyonce.Limits{MaxWaitersPerKey: 10}),
		}}, after(500*time.Millisecond, answering("paid")))
		client := w.client(t)
		errs := make(chan error, 100)

		for range cap(errs) {
			go func() {
				resp, err := client.UnaryCall(t.Context(), payment(), interceptor.WithKey("key"))
				if resp.GetUsername() != "paid" && err == nil {
					t.Errorf("the answer is %v", resp)
				}

				errs <- err
			}()
		}

		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}

		w.mustHaveRun(t, 1)
	})
}

func TestWaitersShareTheErrorOfAReleasedRun(t *testing.T) {
	tests := map[onlyonce.Status]struct {
		err    error
		policy onlyonce.Policy
	}{
		"released": {err: onlyonce.NotExecuted(status.Error(codes.Unavailable, "no funds yet"))},
		"unknown":  {err: status.Error(codes.Unavailable, "no funds yet"), policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}},
	}

	for said, test := range tests {
		t.Run(string(said), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{server: policy(test.policy)}, after(time.Second, failing(test.err)))

				for _, a := range w.flood(t, 50) {
					a.mustFail(t, codes.Unavailable, "no funds yet")
					a.mustHaveStatus(t, said)
				}

				w.mustHaveRun(t, 1)

				w.handle = answering("paid")
				w.pay(t, "key").mustAnswer(t, "paid")
				w.mustHaveRun(t, 2)
			})
		})
	}
}

func TestF25_SameKeyOnAnotherMethodIsAnotherCall(t *testing.T) {
	w := start(t, setup{}, nil)
	ctx := withKey(t.Context(), "key")

	w.call(ctx, payment()).mustAnswer(t, "run 1")
	callOn(ctx, w.conn, cacheableCall, payment()).mustAnswer(t, "run 2")

	if _, err := pb.NewTestServiceClient(w.conn).EmptyCall(ctx, &pb.Empty{}); err != nil {
		t.Error(err)
	}

	w.mustHaveRun(t, 3)
	w.call(ctx, payment()).mustAnswer(t, "run 1")
	callOn(ctx, w.conn, cacheableCall, payment()).mustAnswer(t, "run 2")
	w.mustHaveRun(t, 3)
}

func TestF28_RecordIsReplayedUntilItsRetentionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, nil)
		w.pay(t, "key").mustAnswer(t, "run 1")

		time.Sleep(24*time.Hour - time.Millisecond)
		w.pay(t, "key").mustAnswer(t, "run 1")

		time.Sleep(time.Millisecond)

		again := w.pay(t, "key")
		again.mustAnswer(t, "run 2")
		again.mustHaveStatus(t, onlyonce.StatusExecuted)
	})
}

func TestKeysAreCaseSensitive(t *testing.T) {
	w := start(t, setup{}, nil)

	w.pay(t, "Key").mustAnswer(t, "run 1")
	w.pay(t, "key").mustAnswer(t, "run 2")
	w.pay(t, "Key").mustAnswer(t, "run 1")
}

func TestRetryMetadataIsNoPartOfTheCall(t *testing.T) {
	w := start(t, setup{}, nil)

	w.pay(t, "key").mustAnswer(t, "run 1")

	again := appendMetadata(withKey(t.Context(), "key"), "x-retry-attempt", "3", "grpc-previous-rpc-attempts", "2", "x-request-id", "another")
	w.call(again, payment()).mustAnswer(t, "run 1")
}

func TestDuplicateGetsTheAnswerOfARunOnAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		here := start(t, setup{store: shared}, after(5*time.Second, rich(answering("paid"))))
		there := start(t, setup{store: shared}, nil)

		first := here.payInBackground(t)

		synctest.Wait()

		duplicates := there.flood(t, 20)
		whole := <-first

		for _, a := range duplicates {
			a.mustBeReplayOf(t, whole, whole.at)
		}

		there.mustHaveRun(t, 0)
	})
}

func TestHandlerSeesItsRun(t *testing.T) {
	var run atomic.Pointer[onlyonce.Run]

	w := start(t, setup{scope: func() interceptor.Scope { return interceptor.ScopeFromMetadata("x-tenant") }},
		func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			if r, ok := onlyonce.RunFromContext(ctx); ok {
				run.Store(&r)
			}

			return &pb.SimpleResponse{}, nil
		})

	key := strings.Repeat("k", 255)
	w.call(appendMetadata(withKey(t.Context(), key), "x-tenant", "Ann"), payment()).mustHaveStatus(t, onlyonce.StatusExecuted)

	got := run.Load()
	want := &onlyonce.Run{
		Scope: "Ann", Method: unaryCall, Key: key, Fence: 1, Attempt: 1, Guarantee: onlyonce.AtMostOnce, Protected: true,
	}

	if got != nil {
		want.ID = got.ID
	}

	if got == nil || *got != *want {
		t.Errorf("the run is %+v, want %+v", got, want)
	}
}
