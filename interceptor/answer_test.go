package interceptor_test

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// answer is all that a caller sees.
type answer struct {
	resp            *pb.SimpleResponse
	err             error
	header, trailer metadata.MD
	headerFrame     bool
	at              time.Time
}

func callOn(ctx context.Context, conn grpc.ClientConnInterface, method string, req *pb.SimpleRequest, opts ...grpc.CallOption) answer {
	var (
		frame atomic.Bool
		a     = answer{resp: new(pb.SimpleResponse)}
	)

	ctx = context.WithValue(ctx, headerFramesKey{}, &frame)

	a.err = conn.Invoke(ctx, method, req, a.resp, append(opts, grpc.Header(&a.header), grpc.Trailer(&a.trailer))...)
	if a.err != nil {
		a.resp = nil
	}

	a.headerFrame = frame.Load()
	a.at = time.Now()

	return a
}

// call makes a call without the client interceptor.
func (w *world) call(ctx context.Context, req *pb.SimpleRequest, opts ...grpc.CallOption) answer {
	return callOn(ctx, w.conn, unaryCall, req, opts...)
}

// pay makes the payment under a key.
func (w *world) pay(t *testing.T, key string) answer {
	t.Helper()

	return w.call(withKey(t.Context(), key), payment())
}

// background starts a call and returns a channel for its answer.
func background(call func() answer) <-chan answer {
	got := make(chan answer, 1)

	go func() { got <- call() }()

	return got
}

func (w *world) payInBackground(t *testing.T) <-chan answer {
	t.Helper()

	return background(func() answer { return w.pay(t, "key") })
}

// status is the one idempotency-status of an answer.
func (a answer) status(t *testing.T) onlyonce.Status {
	t.Helper()

	values := a.trailer.Get(interceptor.StatusTrailer)
	if len(values) != 1 {
		t.Errorf("trailer %s is %q, want one value; the answer is %v, %v", interceptor.StatusTrailer, values, a.resp, a.err)

		return ""
	}

	return onlyonce.Status(values[0])
}

func (a answer) mustHaveStatus(t *testing.T, want onlyonce.Status) {
	t.Helper()

	if got := a.status(t); got != want {
		t.Errorf("%s is %q, want %q; the answer is %v, %v", interceptor.StatusTrailer, got, want, a.resp, a.err)
	}
}

func (a answer) mustAnswer(t *testing.T, text string) {
	t.Helper()

	if a.err != nil || a.resp.GetUsername() != text {
		t.Errorf("the answer is %v, %v; want %q", a.resp, a.err, text)
	}
}

func (a answer) mustFail(t *testing.T, code codes.Code, message string) {
	t.Helper()

	if st := status.Convert(a.err); st.Code() != code || st.Message() != message {
		t.Errorf("the answer is %v, %v; want %v %q", a.resp, a.err, code, message)
	}
}

// mustBeReplayOf checks an answer against the contract's rules for replays.
func (a answer) mustBeReplayOf(t *testing.T, first answer, executed time.Time) {
	t.Helper()

	a.mustHaveStatus(t, onlyonce.StatusReplayed)

	if diff := cmp.Diff(first.resp, a.resp, protocmp.Transform()); diff != "" {
		t.Errorf("another response (-first +replay):\n%s", diff)
	}

	if diff := cmp.Diff(status.Convert(first.err).Proto(), status.Convert(a.err).Proto(), protocmp.Transform()); diff != "" {
		t.Errorf("another status (-first +replay):\n%s", diff)
	}

	wantHeader, wantTrailer := ownMetadata(first.header), ownMetadata(first.trailer)
	if a.err != nil {
		wantHeader, wantTrailer = metadata.MD{}, metadata.Join(wantHeader, wantTrailer)

		if a.headerFrame {
			t.Error("a replayed error was sent with a header, which commits the call")
		}
	} else if got := a.header.Get(interceptor.ReplayedHeader); !slices.Equal(got, []string{"true"}) {
		t.Errorf("header %s is %q, want true", interceptor.ReplayedHeader, got)
	}

	if diff := cmp.Diff(wantHeader, ownMetadata(a.header)); diff != "" {
		t.Errorf("another header (-want +replay):\n%s", diff)
	}

	if diff := cmp.Diff(wantTrailer, ownMetadata(a.trailer)); diff != "" {
		t.Errorf("another trailer (-want +replay):\n%s", diff)
	}

	if got := a.trailer.Get(interceptor.ReplayedHeader); !slices.Equal(got, []string{"true"}) {
		t.Errorf("trailer %s is %q, want true", interceptor.ReplayedHeader, got)
	}

	if got, want := a.trailer.Get(interceptor.ExecutedAtTrailer), executed.UTC().Format(time.RFC3339); !slices.Equal(got, []string{want}) {
		t.Errorf("trailer %s is %q, want %q", interceptor.ExecutedAtTrailer, got, want)
	}
}

// ownMetadata returns the metadata that a handler has set.
func ownMetadata(md metadata.MD) metadata.MD {
	own := metadata.MD{}

	for name, values := range md {
		if !strings.HasPrefix(name, "idempot") && name != "content-type" {
			own[name] = values
		}
	}

	return own
}

// rejection is one row of the contract's table.
type rejection struct {
	reason     onlyonce.Reason
	code       codes.Code
	status     onlyonce.Status
	delay      time.Duration // before jitter; zero where trying again is of no use
	badRequest bool
}

// mustBe checks an answer against the contract's rules for rejections.
func (a answer) mustBe(t *testing.T, want rejection) *errdetails.ErrorInfo {
	t.Helper()

	st := status.Convert(a.err)
	if st.Code() != want.code || st.Message() == "" || strings.Contains(st.Message(), "\n") {
		t.Errorf("the answer is %v, %v; want %v and one sentence", a.resp, a.err, want.code)
	}

	a.mustHaveStatus(t, want.status)

	if a.headerFrame {
		t.Error("a rejection was sent with a header, which commits the call")
	}

	info := a.info(t)
	if info.GetReason() != string(want.reason) || info.GetDomain() != "onlyonce" {
		t.Errorf("ErrorInfo is %v, want %s in domain onlyonce; the answer is %v", info, want.reason, a.err)
	}

	details := 1

	if want.badRequest {
		details++

		if bad := detail[*errdetails.BadRequest](a); len(bad) != 1 || len(bad[0].GetFieldViolations()) != 1 {
			t.Errorf("BadRequest is %v, want one violation", bad)
		}
	}

	if want.delay > 0 {
		details++
	}

	a.mustAskToWait(t, want.delay)

	if n := len(st.Details()); n != details {
		t.Errorf("%d details, want %d: %v", n, details, st.Details())
	}

	return info
}

// mustAskToWait checks RetryInfo and pushback: both or none, within half either way, and equal.
func (a answer) mustAskToWait(t *testing.T, delay time.Duration) {
	t.Helper()

	infos, pushback := detail[*errdetails.RetryInfo](a), a.trailer.Get("grpc-retry-pushback-ms")

	if delay == 0 {
		if len(infos) != 0 || len(pushback) != 0 {
			t.Errorf("RetryInfo %v and pushback %q, want none", infos, pushback)
		}

		return
	}

	if len(infos) != 1 || len(pushback) != 1 {
		t.Errorf("RetryInfo %v and pushback %q, want one of each", infos, pushback)

		return
	}

	asked := infos[0].GetRetryDelay().AsDuration()
	if asked < delay/2 || asked > delay*3/2 {
		t.Errorf("RetryInfo asks for %v, want %v give or take half", asked, delay)
	}

	if want := strconv.Itoa(int(math.Ceil(float64(asked) / float64(time.Millisecond)))); pushback[0] != want {
		t.Errorf("pushback is %s ms and RetryInfo %v", pushback[0], asked)
	}
}

// info is the one ErrorInfo of an answer.
func (a answer) info(t *testing.T) *errdetails.ErrorInfo {
	t.Helper()

	infos := detail[*errdetails.ErrorInfo](a)
	if len(infos) != 1 {
		t.Errorf("ErrorInfo is %v, want one; the answer is %v, %v", infos, a.resp, a.err)

		return &errdetails.ErrorInfo{}
	}

	return infos[0]
}

// detail returns the details of a type.
func detail[T any](a answer) []T {
	var found []T

	for _, d := range status.Convert(a.err).Details() {
		if d, ok := d.(T); ok {
			found = append(found, d)
		}
	}

	return found
}
