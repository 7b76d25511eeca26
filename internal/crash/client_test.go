//go:build unix

package crash

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// answer is all that a caller gets.
type answer struct {
	resp    *pb.SimpleResponse
	err     error
	header  metadata.MD
	trailer metadata.MD
}

// client calls one server, without a client interceptor.
type client struct{ pb.TestServiceClient }

// dial connects to a server.
func (p *process) dial(t *testing.T) client {
	t.Helper()

	conn, err := grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return client{pb.NewTestServiceClient(conn)}
}

// call makes a call with a key.
func (c client) call(ctx context.Context, key string, req *pb.SimpleRequest) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	var a answer

	ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key)
	a.resp, a.err = c.UnaryCall(ctx, req, grpc.Header(&a.header), grpc.Trailer(&a.trailer))

	return a
}

// pay makes a call with a key and the usual request.
func (c client) pay(t *testing.T, key string) answer {
	t.Helper()

	return c.call(t.Context(), key, payment())
}

// run calls pay until the store's answer is in time. On a busy machine, any answer may be too late, and a client
// without a connection waits before it retries.
func (c client) run(t *testing.T, key string) (got answer) {
	t.Helper()
	eventually(t, "the store answers in time", func() bool {
		got = c.pay(t, key)

		return !got.cameTooLate()
	})

	return got
}

// insist is run in the background, for a call whose answer is not needed.
func (c client) insist(ctx context.Context, key string) {
	go func() {
		for c.call(ctx, key, payment()).cameTooLate() && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}()
}

// begin starts the same call in the background.
func (c client) begin(t *testing.T, key string) <-chan answer {
	t.Helper()

	return c.beginWith(t, key, payment())
}

// beginWith is begin with another request.
func (c client) beginWith(t *testing.T, key string, req *pb.SimpleRequest) <-chan answer {
	t.Helper()

	ctx := t.Context()
	done := make(chan answer, 1)

	go func() { done <- c.call(ctx, key, req) }()

	return done
}

// finish waits for the answer of a call in the background.
func finish(t *testing.T, done <-chan answer) answer {
	t.Helper()

	timer := time.NewTimer(2 * patience) // the call has its own deadline
	defer timer.Stop()

	select {
	case a := <-done:
		return a
	case <-timer.C:
		t.Fatal("a call does not end")

		return answer{}
	}
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

	said := onlyonce.StatusRejected
	if want == onlyonce.ReasonOutcomeUnknown {
		said = onlyonce.StatusUnknown
	}

	if a.reason() != want || a.status() != said {
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

// mustEqual checks that two callers got the same response.
func (a answer) mustEqual(t *testing.T, other answer) {
	t.Helper()

	if diff := cmp.Diff(other.resp, a.resp, protocmp.Transform()); diff != "" {
		t.Errorf("two callers got different responses (-first +second):\n%s", diff)
	}
}
