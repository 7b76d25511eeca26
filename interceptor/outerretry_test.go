package interceptor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	mwretry "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// F52: go-grpc-middleware's retry stands in front of the kit's interceptor, and a reply is lost. A second attempt with another key would
// charge twice.
func TestF52_RetryInterceptorInFrontIsRefused(t *testing.T) {
	for name, opts := range map[string][]grpc.CallOption{"a fresh key": nil, "a key of the caller": {interceptor.WithKey("key")}} {
		t.Run(name, func(t *testing.T) {
			book := &ledger{}
			w, line := startLossy(t, setup{}, book.charge)
			line.lose(1)

			before := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker,
				opts ...grpc.CallOption,
			) error {
				err := invoker(ctx, method, req, reply, cc, opts...)
				line.lose(0) // only the first reply is lost

				return err
			}
			outer := mwretry.UnaryClientInterceptor(mwretry.WithMax(3), mwretry.WithBackoff(mwretry.BackoffLinear(time.Millisecond)))
			inner := mustDial(t, interceptor.WithMethods(unaryCall))
			conn := w.dial(t, append([]grpc.DialOption{grpc.WithChainUnaryInterceptor(outer, before)}, inner...)...)

			a := callOn(t.Context(), conn, unaryCall, order("1"), append(opts, grpc.WaitForReady(true))...)

			if n := book.of("1"); n != 1 {
				t.Errorf("the order was charged %d times: %v, %v", n, a.resp, a.err)
			}

			switch {
			case opts != nil:
				a.mustHaveStatus(t, onlyonce.StatusReplayed)
			case status.Code(a.err) != codes.FailedPrecondition || onlyonce.VerdictOf(a.err) != onlyonce.VerdictUnknown ||
				!strings.Contains(a.err.Error(), "put the retry interceptor behind UnaryClientKeyInterceptor"):
				t.Errorf("the answer is %v, %v, verdict %v", a.resp, a.err, onlyonce.VerdictOf(a.err))
			}
		})
	}
}

// F52: a handler may pass on all metadata of the call that it serves, with the mark of its client's retries.
func TestF52_MarkOfARetryThatIsPassedOnIsNoRetry(t *testing.T) {
	w := start(t, setup{}, nil)
	conn := w.clientConn(t)

	for _, name := range []string{interceptor.AttemptHeader, "x-retry-attempty"} {
		mark := metadata.Pairs(name, "2")

		passedOn := metadata.NewOutgoingContext(metadata.NewIncomingContext(t.Context(), mark), mark)
		callOn(passedOn, conn, unaryCall, payment()).mustHaveStatus(t, onlyonce.StatusExecuted)

		ofItsOwn := metadata.NewOutgoingContext(t.Context(), mark)
		if a := callOn(ofItsOwn, conn, unaryCall, payment()); status.Code(a.err) != codes.FailedPrecondition {
			t.Errorf("%s: the answer is %v, %v", name, a.resp, a.err)
		}
	}
}
