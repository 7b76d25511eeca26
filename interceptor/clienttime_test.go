package interceptor_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

func TestAttemptThatTimesOutIsRetriedUntilTheRunHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		log := &journal{}
		w := start(t, setup{before: seen.before()}, after(9*time.Second, answering("paid")))
		conn := w.clientConn(t, log.option(), interceptor.WithRetry(retry.Policy{AttemptTimeout: 2 * time.Second, MaxAttempts: 20}))

		w.confirm(t, conn)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		resp, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, payment())
		if err != nil || resp.GetUsername() != "paid" {
			t.Fatalf("the answer is %v, %v", resp, err)
		}

		w.mustHaveRun(t, 1)

		attempts := log.seen()[1:]
		if first := attempts[0]; !first.TimedOut || first.Elapsed != 2*time.Second || first.Status != "" {
			t.Errorf("the first attempt is %+v", first)
		}

		if last := attempts[len(attempts)-1]; last.Status != onlyonce.StatusReplayed || last.Stop != retry.StopSuccess {
			t.Errorf("the last attempt is %+v", last)
		}
	})
}

func TestCallersDeadlineIsNotAnAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		w := start(t, setup{}, after(9*time.Second, answering("paid")))
		client := w.client(t, log.option(), interceptor.WithRetry(retry.Policy{AttemptTimeout: 5 * time.Second}))

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()

		began := time.Now()
		_, err := client.UnaryCall(ctx, payment())

		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != 2*time.Second {
			t.Errorf("the answer is %v after %v", err, took)
		}

		if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("the outcome is %v, but the handler runs", onlyonce.VerdictOf(err))
		}

		if seen := log.seen(); len(seen) != 1 || seen[0].TimedOut || seen[0].Stop != retry.StopCancelled {
			t.Errorf("the attempts are %+v", seen)
		}
	})
}

func TestEveryAttemptTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{unprotected: true}, scripted(turn{code: codes.Unavailable, status: "released", takes: time.Hour}))
		conn := w.clientConn(t, interceptor.WithRetry(retry.Policy{AttemptTimeout: time.Second, MaxAttempts: 3}))

		w.confirm(t, conn)

		_, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), payment())
		if status.Code(err) != codes.DeadlineExceeded || onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("the answer is %v, outcome %v", err, onlyonce.VerdictOf(err))
		}

		w.mustHaveRun(t, 3)
	})
}

// inProgressTurn is a rejection that asks for a retry after the delay.
func inProgressTurn(delay time.Duration) turn {
	return turn{code: codes.Unavailable, status: "rejected", reason: onlyonce.ReasonInProgress, retryInfo: delay}
}

// mustBeInProgress checks that the last real error is all there, whatever has ended the call.
func mustBeInProgress(t *testing.T, err error) {
	t.Helper()

	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable || st.Message() != "scripted Unavailable" || len(st.Details()) != 2 {
		t.Errorf("the error is %v with details %v, want the server's own", err, st.Details())
	}

	if infos := detail[*errdetails.ErrorInfo](answer{err: err}); len(infos) != 1 || infos[0].GetReason() != "IDEMPOTENCY_IN_PROGRESS" {
		t.Errorf("ErrorInfo is %v", infos)
	}

	if got := onlyonce.VerdictOf(err); got != onlyonce.VerdictUnknown {
		t.Errorf("the outcome is %v", got)
	}
}

func TestClientDoesNotSleepPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{unprotected: true}, scripted(inProgressTurn(3*time.Second)))

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		began := time.Now()
		_, err := w.client(t).UnaryCall(ctx, payment())
		mustBeInProgress(t, err)
		w.mustHaveRun(t, 2)

		// The second retry would be due at 6 s, after the deadline, so the client does not wait for it.
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the call took %v", took)
		}
	})
}

func TestLastRealErrorIsNotMaskedByTheEndOfTheContext(t *testing.T) {
	t.Run("cancelled during a delay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, setup{unprotected: true}, scripted(inProgressTurn(time.Hour)))

			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)

			_, err := w.client(t).UnaryCall(ctx, payment())
			mustBeInProgress(t, err)

			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not tell that the caller cancelled", err)
			}
		})
	})

	t.Run("deadline during the second attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, setup{unprotected: true}, scripted(inProgressTurn(time.Second), turn{takes: time.Hour}))

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()

			_, err := w.client(t).UnaryCall(ctx, payment())
			mustBeInProgress(t, err)

			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not tell that the deadline has passed", err)
			}

			w.mustHaveRun(t, 2)
		})
	})

	t.Run("no attempts left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, a := play(t, []turn{inProgressTurn(time.Second)}, nil)
			mustBeInProgress(t, a.err)
		})
	})
}

func TestCallWhoseContextHasEndedIsNotSent(t *testing.T) {
	w := start(t, setup{}, nil)
	client := w.client(t)

	gone, cancel := context.WithCancel(t.Context())
	cancel()

	late, done := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer done()

	for ctx, code := range map[context.Context]codes.Code{gone: codes.Canceled, late: codes.DeadlineExceeded} {
		_, err := client.UnaryCall(ctx, payment())
		if status.Code(err) != code || onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted {
			t.Errorf("the answer is %v, outcome %v; want %v", err, onlyonce.VerdictOf(err), code)
		}
	}

	w.mustHaveRun(t, 0)
}

func TestF29_ClientDoesNotRetryAfterTheRetention(t *testing.T) {
	tests := map[string]struct {
		retention, delay time.Duration
		want             int
	}{
		"24 hours by default, less ten minutes": {0, 23*time.Hour + 50*time.Minute, 2},
		"just too late":                         {0, 23*time.Hour + 50*time.Minute + 1, 1},
		"as often as fits":                      {time.Hour, 25 * time.Minute, 3},
		"half of a short one":                   {10 * time.Minute, 5 * time.Minute, 2},
		"just too late for a short one":         {10 * time.Minute, 5*time.Minute + 1, 1},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []interceptor.ClientOption
				if test.retention != 0 {
					opts = append(opts, interceptor.WithRetention(test.retention))
				}

				for _, call := range []retry.Policy{{MaxAttempts: 5}, {MaxAttempts: 5, MaxElapsed: 100 * time.Hour}} {
					seen, a := play(t, []turn{inProgressTurn(test.delay)}, opts, interceptor.WithCallRetry(call))
					seen.mustBe(t, test.want)
					mustBeInProgress(t, a.err)
				}
			})
		})
	}
}

// The second attempt begins in time and cannot be sent: there is no connection until the record has expired.
func TestF29_AttemptThatWaitsForAConnectionIsNotSentAfterTheRetention(t *testing.T) {
	const retention = 10 * time.Minute

	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool

		w := start(t, setup{server: policy(onlyonce.Policy{Retention: retention})}, nil)
		w.handle = func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			down.Store(true)
			w.listener.cut() // the answer is lost

			return &pb.SimpleResponse{}, nil
		}

		dial := w.listener.dial
		w.listener.dial = func(ctx context.Context, addr string) (net.Conn, error) {
			if down.Load() {
				return nil, errors.New("the server cannot be reached")
			}

			return dial(ctx, addr)
		}

		conn := w.clientConn(t, interceptor.WithRetention(retention))

		w.confirm(t, conn)
		time.AfterFunc(retention+time.Second, func() { down.Store(false) })

		began := time.Now()
		_, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), payment(), grpc.WaitForReady(true))

		// Attempts may begin in the first half of the retention, and may be sent in half of the time left then.
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != retention*3/4 {
			t.Errorf("the answer is %v after %v, want %v after %v", err, took, codes.DeadlineExceeded, retention*3/4)
		}

		if outcome := onlyonce.VerdictOf(err); outcome != onlyonce.VerdictUnknown {
			t.Errorf("the outcome is %v", outcome)
		}

		time.Sleep(retention)
		w.mustHaveRun(t, 1)
	})
}

func TestPolicyMayStopBeforeTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, _ := play(t, []turn{inProgressTurn(time.Minute)}, []interceptor.ClientOption{
			interceptor.WithRetry(retry.Policy{MaxElapsed: 90 * time.Second}),
		})
		seen.mustBe(t, 2)

		seen, _ = play(t, []turn{inProgressTurn(time.Minute)}, nil, interceptor.WithCallRetry(retry.Policy{MaxElapsed: 150 * time.Second}))
		seen.mustBe(t, 3)
	})
}

func TestClientStopsWaitingForARunAndGetsItsOutcomeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, after(20*time.Second, answering("paid")))
		client := w.client(t)
		key := interceptor.WithKey("key")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if _, err := client.UnaryCall(ctx, payment(), key); onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("the outcome of %v is %v", err, onlyonce.VerdictOf(err))
		}

		resp, err := client.UnaryCall(t.Context(), payment(), key)
		if err != nil || resp.GetUsername() != "paid" {
			t.Errorf("the answer is %v, %v", resp, err)
		}

		w.mustHaveRun(t, 1)
	})
}
