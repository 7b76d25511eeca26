package interceptor_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mwretry "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	"github.com/onlyonce-go/onlyonce/retry"
)

// Interceptors behind the client interceptor may retry, lose options, change answers and abandon calls.

func behind(in grpc.UnaryClientInterceptor) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(in)
}

// F75, F77: an interceptor behind this one makes two calls in one attempt. The first has run, and the stream of the
// second is refused.
func TestF75_RefusedSecondCallOfAnAttemptDoesNotHideTheFirst(t *testing.T) {
	for name, opts := range map[string][]grpc.CallOption{"with retries": nil, "without": {interceptor.WithoutRetry()}} {
		t.Run(name, func(t *testing.T) {
			book := &ledger{}
			w, line := startLossy(t, setup{unprotected: true}, book.charge)
			line.lose(1)

			var dials atomic.Int64

			conn := w.dial(t, append(mustDial(t, interceptor.WithMethods(unaryCall), patiently()),
				behind(mwretry.UnaryClientInterceptor(mwretry.WithMax(2), mwretry.WithBackoff(mwretry.BackoffLinear(time.Millisecond)))),
				grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					if dials.Add(1) != 2 {
						return w.listener.dial(ctx, addr)
					}

					line.lose(0)

					client, server := net.Pipe()
					go refuseStream(server)

					return client, nil
				}), soon())...)

			_, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), order("1"), append(opts, grpc.WaitForReady(true))...)
			if n := book.of("1"); n != 1 || onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
				t.Errorf("charged %d times, verdict %v: %v", n, onlyonce.VerdictOf(err), err)
			}
		})
	}
}

// F77: an interceptor behind this one abandons a call that is under way. Its next call ends with "nothing happened",
// and then the first one runs.
func TestF77_SecondCallOfAnAttemptDoesNotSettleTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrived, runs atomic.Int64

		late, done := make(chan struct{}), make(chan struct{})
		w := start(t, setup{before: []grpc.UnaryServerInterceptor{
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				if arrived.Add(1) > 1 {
					return handler(ctx, req)
				}

				defer close(done)

				<-late

				return handler(context.WithoutCancel(ctx), req)
			},
		}}, func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			if runs.Add(1) == 1 {
				return nil, onlyonce.NotExecuted(status.Error(codes.Aborted, "locked, nothing happened"))
			}

			return &pb.SimpleResponse{}, nil
		})
		conn := w.dial(t, append(mustDial(t, interceptor.WithAllMethods()), behind(mwretry.UnaryClientInterceptor(mwretry.WithMax(2),
			mwretry.WithPerRetryTimeout(time.Second), mwretry.WithCodes(codes.DeadlineExceeded, codes.Unavailable))))...)

		a := callOn(t.Context(), conn, unaryCall, payment())

		close(late)
		<-done

		if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictUnknown || runs.Load() != 2 {
			t.Errorf("after %d runs the verdict is %v: %v", runs.Load(), got, a.err)
		}
	})
}

// F76: the server has recorded a response, and the caller gets an error that no server has recorded.
func TestF76_ErrorThatAnInterceptorMakesOfAnAnswerIsNoRecordedOne(t *testing.T) {
	for name, handle := range map[string]handlerFunc{
		"a response":    answering("paid"),
		"another error": failing(status.Error(codes.NotFound, "no such account")),
	} {
		w := start(t, setup{}, handle)
		conn := w.dial(t, append(mustDial(t, interceptor.WithAllMethods()), behind(func(
			ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
		) error {
			_ = invoker(ctx, method, req, reply, cc, opts...)

			return status.Error(codes.FailedPrecondition, "the response has no receipt")
		}))...)

		for range 2 { // executed and replayed
			a := callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("order-1"))
			if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictUnknown {
				t.Errorf("%s: the verdict is %v: %v", name, got, a.err)
			}
		}
	}
}

// F75: where an interceptor behind this one loses the call options, nothing shows whether the server protects the method.
func TestF75_CallsWhoseOptionsAreLostAreReportedAndNotRetried(t *testing.T) {
	b, reported, line := &branchBank{}, &report{}, &lossy{}
	w := startBank(t, setup{tcp: true, unprotected: true, before: []grpc.UnaryServerInterceptor{line.intercept}}, b)
	line.line = w.listener

	conn := w.dial(t, append(mustDial(t, patiently(), reported.option()), behind(func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, _ ...grpc.CallOption,
	) error {
		return invoker(ctx, method, req, reply, cc)
	}))...)

	line.lose(1)

	_, a := transfer(t.Context(), conn, transferOf("", "acme"))
	if n := b.runs.Load(); n != 1 || onlyonce.VerdictOf(a.err) != onlyonce.VerdictUnknown {
		t.Errorf("%d runs, verdict %v: %v", n, onlyonce.VerdictOf(a.err), a.err)
	}

	if !strings.Contains(a.err.Error(), "an interceptor behind the client interceptor hides the answers") {
		t.Errorf("the error does not say why the call is not retried: %v", a.err)
	}

	reported.mustHave(t, 0)
	line.lose(0)

	if _, a := transfer(t.Context(), conn, transferOf("", "acme"), grpc.WaitForReady(true)); a.err != nil {
		t.Errorf("the answer is %v", a.err)
	}

	reported.mustHave(t, 1, "call options")
}

// An interceptor behind this one abandons its call at a timeout, and the call goes on.
func TestF76_CallThatAnInterceptorGivesUpIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &branchBank{transfer: func(ctx context.Context, _ *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
			_, err := turn{status: onlyonce.StatusReleased, code: codes.Aborted, takes: 3 * time.Second}.answer(ctx)

			return nil, err
		}}
		w := startBank(t, setup{unprotected: true}, b)
		conn := w.dial(t, append(mustDial(t, patiently(), interceptor.WithRetryCodes(codes.Aborted)), behind(func(
			ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
		) error {
			done := make(chan error, 1)

			go func() { done <- invoker(context.WithoutCancel(ctx), method, req, reply, cc, opts...) }()

			select {
			case err := <-done:
				return err
			case <-time.After(2 * time.Second):
				return status.Error(codes.Aborted, "given up")
			}
		}))...)

		// Without call options for the answer, which gRPC would write when the call ends.
		_, err := bankv1.NewBankServiceClient(conn).Transfer(t.Context(), transferOf("", "acme"))
		if got := onlyonce.VerdictOf(err); got != onlyonce.VerdictUnknown || b.runs.Load() != 1 {
			t.Errorf("%d runs, verdict %v: %v", b.runs.Load(), got, err)
		}

		time.Sleep(time.Minute) // the call ends
	})
}

// A call that an interceptor behind this one has given up ends during a later attempt.
func TestF76_LateEndOfAnAttemptIsNotTakenForThatOfALaterOne(t *testing.T) {
	client, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods(),
		interceptor.WithRetry(retry.Policy{MaxAttempts: 2, BaseDelay: 1, MaxDelay: 1}))
	if err != nil {
		t.Fatal(err)
	}

	end := func(opts []grpc.CallOption, trailer metadata.MD, err error) {
		for _, opt := range opts {
			switch opt := opt.(type) {
			case grpc.TrailerCallOption:
				*opt.TrailerAddr = trailer
			case grpc.PeerCallOption:
				*opt.PeerAddr = peer.Peer{}
			case grpc.OnFinishCallOption:
				opt.OnFinish(err)
			}
		}
	}

	var first []grpc.CallOption

	unavailable, aborted := status.Error(codes.Unavailable, "gone"), status.Error(codes.Aborted, "locked")
	err = client(t.Context(), unaryCall, payment(), new(pb.SimpleResponse), nil,
		func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
			if first == nil {
				first = opts
				end(opts, metadata.Pairs(interceptor.StatusTrailer, "released"), unavailable)

				return unavailable
			}

			end(opts, nil, aborted)
			end(first, metadata.Pairs(interceptor.StatusTrailer, "executed"), aborted)

			return aborted
		})

	if got := onlyonce.VerdictOf(err); got != onlyonce.VerdictUnknown {
		t.Errorf("the verdict is %v: %v", got, err)
	}
}

// F76: of two interceptors, the outer one makes one attempt, and the inner one must not add its own.
func TestF76_InterceptorThatMakesOneAttemptIsNotMultipliedByAnother(t *testing.T) {
	book := &ledger{}
	w, line := startLossy(t, setup{}, book.charge)
	outer := mustDial(t, interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
	conn := w.dial(t, append(outer, mustDial(t, interceptor.WithAllMethods())...)...)

	callOn(t.Context(), conn, unaryCall, order("0")).mustHaveStatus(t, onlyonce.StatusExecuted)
	line.lose(1)

	seen := callOn(t.Context(), conn, unaryCall, order("1"))
	if got := onlyonce.VerdictOf(seen.err); got != onlyonce.VerdictUnknown || line.losses() != 1 {
		t.Errorf("verdict %v after %d attempts: %v", got, line.losses(), seen.err)
	}
}
