package interceptor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// moment is a call that fails at some point on its way.
type moment struct {
	ctx   func(ctx context.Context, t *testing.T) context.Context
	req   *pb.SimpleRequest
	call  []grpc.CallOption
	setup setup
	serve handlerFunc
	gone  bool // there is no server any more
	dial  []grpc.DialOption
	code  codes.Code
}

func (m *moment) fail(t *testing.T, opts ...grpc.CallOption) (*world, answer) {
	t.Helper()

	w := start(t, m.setup, m.serve)

	dial, err := interceptor.DialOptions(interceptor.WithAllMethods())
	if err != nil {
		t.Fatal(err)
	}

	conn := w.dial(t, append(dial, m.dial...)...)

	if m.gone {
		w.listener.Close()
	}

	ctx := t.Context()
	if m.ctx != nil {
		ctx = m.ctx(ctx, t)
	}

	req := m.req
	if req == nil {
		req = payment()
	}

	return w, callOn(ctx, conn, unaryCall, req, append(opts, m.call...)...)
}

func cancelledIn(d time.Duration) func(context.Context, *testing.T) context.Context {
	return func(ctx context.Context, t *testing.T) context.Context {
		t.Helper()

		ctx, cancel := context.WithCancel(ctx)
		if d == 0 {
			cancel()
		} else {
			timer := time.AfterFunc(d, cancel)
			t.Cleanup(func() { timer.Stop() })
		}

		t.Cleanup(cancel)

		return ctx
	}
}

// F76: a call of which nothing was sent has not been executed, and its error has its key.
func TestF76_CallThatWasNeverSentIsNotExecutedAndHasItsKey(t *testing.T) {
	waiting := []grpc.CallOption{grpc.WaitForReady(true)}

	for name, m := range map[string]moment{
		"its context was cancelled before": {ctx: cancelledIn(0), code: codes.Canceled},
		"its deadline was over before": {ctx: func(ctx context.Context, t *testing.T) context.Context {
			t.Helper()

			ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
			t.Cleanup(cancel)

			return ctx
		}, code: codes.DeadlineExceeded},
		"cancelled while it waits for a connection": {
			ctx: cancelledIn(time.Minute), call: waiting, gone: true, code: codes.Canceled,
		},
		"an attempt's time is over while it waits for a connection": {
			call: append(waiting, interceptor.WithCallRetry(retry.Policy{MaxAttempts: 3, AttemptTimeout: time.Second})),
			gone: true, code: codes.DeadlineExceeded,
		},
		"there is no server":            {gone: true, code: codes.Unavailable},
		"there is no server for a call": {gone: true, call: []grpc.CallOption{interceptor.WithoutRetry()}, code: codes.Unavailable},
		"cancelled between attempts without a server": {
			ctx: cancelledIn(time.Minute), gone: true, code: codes.Unavailable,
			call: []grpc.CallOption{interceptor.WithCallRetry(retry.Policy{BaseDelay: time.Hour, MaxDelay: time.Hour})},
		},
		"larger than the client may send": {call: []grpc.CallOption{grpc.MaxCallSendMsgSize(5)}, code: codes.ResourceExhausted},
		"larger than the connection may send": {
			dial: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(5))}, code: codes.ResourceExhausted,
		},
		"not UTF-8": {
			req: &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Message: "\xff"}}, code: codes.Internal,
		},
		"metadata that cannot be sent": {ctx: func(ctx context.Context, t *testing.T) context.Context {
			t.Helper()

			return appendMetadata(ctx, "order", "one\ntwo")
		}, code: codes.Internal},
		"a retry policy that cannot hold": {
			call: []grpc.CallOption{interceptor.WithCallRetry(retry.Policy{MaxAttempts: -1})}, code: codes.InvalidArgument,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for chosen, opts := range map[string][]grpc.CallOption{"": nil, "order-1": {interceptor.WithKey("order-1")}} {
				synctest.Test(t, func(t *testing.T) {
					seen := &arrivals{}
					m.setup.before = seen.before()
					w, a := m.fail(t, opts...)

					if got := onlyonce.VerdictOf(a.err); status.Code(a.err) != m.code || got != onlyonce.VerdictNotExecuted {
						t.Errorf("the answer is %v, %v, verdict %v; want %v, not executed", a.resp, a.err, got, m.code)
					}

					if got := interceptor.KeyOf(a.err); got == "" || chosen != "" && got != chosen {
						t.Errorf("the error %v has the key %q, want %q", a.err, got, chosen)
					}

					seen.mustBe(t, 0)
					w.mustHaveRun(t, 0)
				})
			}
		})
	}
}

// These errors look the same, but the call may have been sent.
func TestF76_CallThatMayHaveBeenSentIsUnknownAndHasItsKey(t *testing.T) {
	chained := func(in grpc.UnaryClientInterceptor) []grpc.DialOption {
		return []grpc.DialOption{grpc.WithChainUnaryInterceptor(in)}
	}

	for name, m := range map[string]moment{
		"cancelled while it runs": {
			ctx: cancelledIn(time.Second), serve: after(time.Minute, answering("late")), code: codes.Canceled,
		},
		"the response is larger than the server may send": {
			setup: setup{options: []grpc.ServerOption{grpc.MaxSendMsgSize(5)}}, serve: answering("a long answer"),
			code: codes.ResourceExhausted,
		},
		"the server says what gRPC says of a request": {
			setup: setup{unprotected: true}, code: codes.Internal,
			serve: failing(status.Error(codes.Internal, "grpc: error while marshaling: string field contains invalid UTF-8")),
		},
		"the server's answer has a header frame": {
			setup: setup{unprotected: true}, code: codes.ResourceExhausted,
			serve: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				_ = grpc.SendHeader(ctx, nil)

				return nil, status.Error(codes.ResourceExhausted, "trying to send message larger than max (7 vs. 5)")
			},
		},
		"an interceptor on the way answers it": {
			code: codes.Unavailable,
			dial: chained(func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
				return status.Error(codes.Unavailable, "the breaker is open")
			}),
		},
		"an interceptor on the way loses its options": {
			code: codes.Canceled, ctx: cancelledIn(time.Second), serve: after(time.Minute, answering("late")),
			dial: chained(func(
				ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, _ ...grpc.CallOption,
			) error {
				return invoker(ctx, method, req, reply, cc)
			}),
		},
		"an interceptor on the way makes a second attempt that is not sent": {
			code: codes.Canceled, serve: failing(status.Error(codes.Internal, "charged, and crashed")),
			dial: chained(func(
				ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
			) error {
				_ = invoker(ctx, method, req, reply, cc, opts...)

				ctx, cancel := context.WithCancel(ctx)
				cancel()

				return invoker(ctx, method, req, reply, cc, opts...)
			}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a := m.fail(t, interceptor.WithKey("order-1"))

				if got := onlyonce.VerdictOf(a.err); status.Code(a.err) != m.code || got != onlyonce.VerdictUnknown {
					t.Errorf("the answer is %v, %v, verdict %v; want %v, unknown", a.resp, a.err, got, m.code)
				}

				if got := interceptor.KeyOf(a.err); got != "order-1" {
					t.Errorf("the error %v has the key %q", a.err, got)
				}
			})
		})
	}
}

// A call that was not sent may be tried again. A call that another attempt of it has reached the server may not.
func TestF76_AttemptThatWasNotSentDoesNotSettleAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, after(time.Minute, answering("late")))
		conn := w.clientConn(t, interceptor.WithRetry(retry.Policy{MaxAttempts: 2, BaseDelay: 10 * time.Second, MaxDelay: 10 * time.Second}))
		call := background(func() answer { return callOn(t.Context(), conn, unaryCall, payment()) })

		synctest.Wait()
		w.listener.Close()
		w.listener.cut()

		a := <-call
		if got := onlyonce.VerdictOf(a.err); status.Code(a.err) != codes.Unavailable || got != onlyonce.VerdictUnknown {
			t.Errorf("the answer is %v, %v, verdict %v; want unknown", a.resp, a.err, got)
		}
	})
}

// The half that chooses keys knows the key of a call; it does not read answers.
func TestF76_ErrorOfTheKeyHalfAloneHasItsKey(t *testing.T) {
	keyHalf, _ := halves(t)
	w := start(t, setup{}, failing(status.Error(codes.NotFound, "no such account")))
	conn := w.dial(t, grpc.WithChainUnaryInterceptor(keyHalf))

	for _, opts := range [][]grpc.CallOption{nil, {interceptor.WithKey("order-1")}} {
		a := callOn(t.Context(), conn, unaryCall, payment(), opts...)
		a.mustFail(t, codes.NotFound, "no such account")

		if got := interceptor.KeyOf(a.err); got == "" || opts != nil && got != "order-1" {
			t.Errorf("the error %v has the key %q", a.err, got)
		}

		if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictUnknown {
			t.Errorf("the verdict is %v", got)
		}
	}
}

// F76, as found: a handler ends ambiguously, the corrected order comes under the same key, and its caller follows the verdict.
func TestF76_CorrectedOrderUnderTheKeyOfAnUnknownOneIsNoSecondCharge(t *testing.T) {
	w := start(t, setup{}, failing(status.Error(codes.Internal, "charged, and crashed")))
	client := w.client(t)

	for _, req := range []*pb.SimpleRequest{payment(), otherPayment()} {
		_, err := client.UnaryCall(t.Context(), req, interceptor.WithKey("order-1"))
		if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("the verdict on %v is %v: a caller would take a new key", err, onlyonce.VerdictOf(err))

			_, _ = client.UnaryCall(t.Context(), req)
		}

		if errors.Is(err, onlyonce.ReasonKeyReused) && strings.Contains(err.Error(), "new key") {
			t.Errorf("the message advises a new key: %v", err)
		}
	}

	w.mustHaveRun(t, 1)
}

func TestRequestThatCannotBeSentIsTriedOnce(t *testing.T) {
	log := &journal{}
	w := start(t, setup{}, nil)
	client := w.client(t, log.option(), interceptor.WithRetryCodes(codes.ResourceExhausted, codes.Internal))

	if _, err := client.UnaryCall(t.Context(), payment(), grpc.MaxCallSendMsgSize(5)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the answer is %v", err)
	}

	if seen := log.seen(); len(seen) != 1 {
		t.Errorf("the attempts are %+v, want one", seen)
	}
}
