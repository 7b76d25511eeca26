//go:build unix

package sqlcrash

import (
	"bytes"
	"context"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// client calls one server, without a client interceptor.
type client struct{ conn *grpc.ClientConn }

// answer is the answer to a call.
type answer struct {
	resp    *pb.SimpleResponse
	err     error
	trailer metadata.MD
}

func (c client) call(ctx context.Context, m method, key string, req *pb.SimpleRequest) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	a := answer{resp: new(pb.SimpleResponse)}
	ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key)
	a.err = c.conn.Invoke(ctx, methodOf(m), req, a.resp, grpc.Trailer(&a.trailer))

	return a
}

// take makes a call with the usual order.
func (c client) take(t *testing.T, m method, key string) answer {
	t.Helper()

	return c.call(context.WithoutCancel(t.Context()), m, key, order(false))
}

// begin starts the same call in the background.
func (c client) begin(ctx context.Context, m method, key string) <-chan answer {
	done := make(chan answer, 1)

	go func() { done <- c.call(ctx, m, key, order(false)) }()

	return done
}

// insist repeats a call in the background until the store's answer is in time. The answer to the call is not needed.
func (c client) insist(ctx context.Context, m method, key string) {
	go func() {
		for {
			if got := c.call(ctx, m, key, order(false)); !got.cameTooLate() {
				return
			}
		}
	}()
}

// retryUntilOK repeats the call until it succeeds.
func (c client) retryUntilOK(t *testing.T, m method, key string) (got answer) {
	t.Helper()

	eventually(t, "the call succeeds", func() bool {
		got = c.take(t, m, key)

		return got.err == nil
	})

	return got
}

func (a answer) status() onlyonce.Status {
	if said := a.trailer.Get(interceptor.StatusTrailer); len(said) == 1 {
		return onlyonce.Status(said[0])
	}

	return ""
}

func (a answer) reason() onlyonce.Reason {
	for _, detail := range status.Convert(a.err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == interceptor.Domain {
			return onlyonce.Reason(info.GetReason())
		}
	}

	return ""
}

// cameTooLate reports that nothing has run because the store did not answer, or not in time.
func (a answer) cameTooLate() bool {
	return a.reason() == onlyonce.ReasonStoreUnavailable || a.reason() == onlyonce.ReasonLeaseLost
}

// final reports whether an answer comes from its handler: a response or a definite error.
func (a answer) final() bool {
	return a.err == nil || status.Code(a.err) == codes.FailedPrecondition && a.reason() == ""
}

// bytes is the response, or else the status.
func (a answer) bytes(t *testing.T) []byte {
	t.Helper()

	var msg proto.Message = a.resp
	if a.err != nil {
		msg = status.Convert(a.err).Proto()
	}

	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		t.Error(err)
	}

	return data
}

// mustSay checks that an answer is a success with a status.
func (a answer) mustSay(t *testing.T, want onlyonce.Status) {
	t.Helper()

	if a.err != nil || a.status() != want {
		t.Errorf("the call was answered with %q and %v, want %q without an error", a.status(), a.err, want)
	}
}

// mustReject checks that an answer is a rejection.
func (a answer) mustReject(t *testing.T, want onlyonce.Reason) {
	t.Helper()

	if a.reason() != want {
		t.Errorf("the call was answered with %q, %q and %v, want %q", a.status(), a.reason(), a.err, want)
	}
}

// mustBreak checks that a call got no answer, because the server died.
func (a answer) mustBreak(t *testing.T) {
	t.Helper()

	if status.Code(a.err) != codes.Unavailable || a.status() != "" {
		t.Errorf("the call was answered with %q and %v, want a broken connection", a.status(), a.err)
	}
}

// mustEqual checks that two callers got the same bytes.
func (a answer) mustEqual(t *testing.T, other answer) {
	t.Helper()

	if x, y := a.bytes(t), other.bytes(t); !bytes.Equal(x, y) {
		t.Errorf("two callers got different answers: %q and %q", y, x)
	}
}
