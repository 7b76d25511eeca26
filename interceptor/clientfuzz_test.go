package interceptor_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// heard is the reply to one attempt of a client.
type heard struct {
	code            codes.Code
	reason, domain  string
	raw             []byte // an ErrorInfo in its wire form
	wait            *durationpb.Duration
	header, trailer metadata.MD
}

func (h heard) err() error {
	st := &spb.Status{Code: int32(h.code), Message: "fuzzed"}

	if h.raw != nil {
		st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: h.raw})
	}

	details := []proto.Message{&errdetails.ErrorInfo{Reason: h.reason, Domain: h.domain}}
	if h.wait != nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: h.wait})
	}

	for _, detail := range details {
		if packed, err := anypb.New(detail); err == nil { // text that is not UTF-8 cannot be sent
			st.Details = append(st.Details, packed)
		}
	}

	return status.ErrorProto(st)
}

func (h heard) status() onlyonce.Status {
	if values := h.trailer.Get(interceptor.StatusTrailer); len(values) > 0 {
		return onlyonce.Status(values[0])
	}

	return ""
}

// rejectedFor is the reason of the server's own rejection.
func (h heard) rejectedFor() (onlyonce.Reason, bool) {
	for _, info := range detail[*errdetails.ErrorInfo](answer{err: h.err()}) {
		switch info.GetDomain() {
		case interceptor.Domain:
			return onlyonce.Reason(info.GetReason()), true
		case downstream:
			return "", false
		}
	}

	return "", false
}

// recorded reports whether the error is the answer that is recorded for the key.
func (h heard) recorded() bool {
	switch h.status() { //nolint:exhaustive // no other status marks a recorded answer
	case "replayed":
		return len(h.header.Get(interceptor.ReplayedHeader)) == 0
	case "executed":
		switch h.code { //nolint:exhaustive // the contract's definite codes
		case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
			codes.PermissionDenied, codes.Unauthenticated:
			return true
		}
	}

	return false
}

// final reports whether the contract forbids another attempt.
func (h heard) final() bool {
	if pushback := h.trailer.Get(interceptor.PushbackTrailer); len(pushback) > 0 {
		if millis, err := strconv.ParseInt(pushback[0], 10, 32); err != nil || millis < 0 || len(pushback) > 1 {
			return true
		}
	}

	reason, rejected := h.rejectedFor()
	if rejected {
		switch reason {
		case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost, onlyonce.ReasonStoreUnavailable, onlyonce.ReasonStoreFull,
			onlyonce.ReasonRecordNewer:
		default: // all other reasons are final, unknown ones too
			return true
		}
	}

	return h.recorded() || !rejected && h.code != codes.Unavailable
}

// invoker gives one answer to each attempt. The last answer repeats.
func invoker(attempts *int, answers ...heard) grpc.UnaryInvoker {
	return func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		next := answers[*attempts%len(answers)]
		*attempts++

		for _, opt := range opts {
			switch opt := opt.(type) {
			case grpc.HeaderCallOption:
				*opt.HeaderAddr = next.header
			case grpc.TrailerCallOption:
				*opt.TrailerAddr = next.trailer
			case grpc.PeerCallOption:
				*opt.PeerAddr = peer.Peer{}
			case grpc.OnFinishCallOption:
				opt.OnFinish(next.err())
			}
		}

		return next.err()
	}
}

func FuzzClientRetries(f *testing.F) {
	add := func(code codes.Code, reason onlyonce.Reason, domain, said, pushback string, pushbacks uint8, code2 codes.Code, said2 string) {
		f.Add(uint32(code), string(reason), domain, []byte(nil), int64(1), int32(0), said, pushback, pushbacks, false,
			uint32(code2), said2, "", uint8(0))
	}

	add(codes.Unavailable, onlyonce.ReasonInProgress, "onlyonce", "rejected", "500", 1, codes.OK, "executed")
	add(codes.Unavailable, onlyonce.ReasonInProgress, "onlyonce", "rejected", "-1", 1, codes.OK, "executed")
	add(codes.Unavailable, onlyonce.ReasonLeaseLost, "onlyonce", "rejected", "soon", 1, codes.OK, "executed")
	add(codes.Unavailable, onlyonce.ReasonStoreUnavailable, "onlyonce", "rejected", "5", 2, codes.Unavailable, "released")
	add(codes.ResourceExhausted, onlyonce.ReasonStoreFull, downstream, "unknown", "", 0, codes.Unavailable, "released")
	add(codes.Unavailable, onlyonce.ReasonOutcomeUnknown, "onlyonce", "unknown", "60000", 1, codes.OK, "executed")
	add(codes.Unavailable, onlyonce.ReasonKeyReused, "onlyonce", "rejected", "", 0, codes.OK, "")
	add(codes.Unavailable, onlyonce.ReasonKeyInvalid, "onlyonce", "rejected", "", 0, codes.OK, "")
	add(codes.Unavailable, onlyonce.ReasonKeyMissing, "onlyonce", "released", "", 0, codes.OK, "")
	add(codes.Unavailable, "IDEMPOTENCY_NEWS", "onlyonce", "released", "", 0, codes.Unavailable, "")
	add(codes.Unavailable, "", "", "released", "", 0, codes.Unavailable, "unknown")
	add(codes.Unavailable, "", "", "unknown", "", 0, codes.Unavailable, "released")
	add(codes.Unavailable, "", "", "", "", 0, codes.NotFound, "executed")
	add(codes.Unavailable, "", "", "replayed", "", 0, codes.OK, "replayed")
	add(codes.NotFound, "", "", "executed", "7", 1, codes.OK, "executed")
	f.Add(uint32(codes.Unavailable), "", "", []byte("\x0a\xff\xff\xff\x7f"), int64(-1), int32(-1), "released", "0", uint8(1), true,
		uint32(99), "released", "12", uint8(3))

	f.Fuzz(func(
		t *testing.T, code uint32, reason, domain string, raw []byte, seconds int64, nanos int32, said, pushback string,
		pushbacks uint8, replayedHeader bool, code2 uint32, said2, pushback2 string, limit uint8,
	) {
		first := heard{
			code: codes.Code(code % 20), reason: reason, domain: domain, raw: raw,
			wait: &durationpb.Duration{Seconds: seconds, Nanos: nanos}, trailer: metadata.MD{},
		}
		second := heard{code: codes.Code(code2 % 20), trailer: metadata.MD{}}

		if said != "" {
			first.trailer.Set(interceptor.StatusTrailer, said)
		}

		for range pushbacks % 3 {
			first.trailer.Append(interceptor.PushbackTrailer, pushback)
		}

		if replayedHeader {
			first.header = metadata.Pairs(interceptor.ReplayedHeader, "true")
		}

		if said2 != "" {
			second.trailer.Set(interceptor.StatusTrailer, said2)
		}

		if pushback2 != "" {
			second.trailer.Set(interceptor.PushbackTrailer, pushback2)
		}

		synctest.Test(t, func(t *testing.T) { mustBeRetriedSafely(t, int(limit%8), first, second) })
	})
}

// mustBeRetriedSafely makes a call that gets these answers in turn.
func mustBeRetriedSafely(t *testing.T, limit int, answers ...heard) {
	t.Helper()

	call, err := interceptor.UnaryClientInterceptor(interceptor.WithAllMethods(),
		interceptor.WithRetry(retry.Policy{MaxAttempts: limit}))
	if err != nil {
		t.Fatal(err)
	}

	attempts := 0
	err = call(t.Context(), unaryCall, payment(), &pb.SimpleResponse{}, nil, invoker(&attempts, answers...))

	if limit == 0 {
		limit = 5
	}

	if attempts < 1 || attempts > limit {
		t.Fatalf("%d attempts, %d are allowed", attempts, limit)
	}

	doubtful := false  // an attempt before the last one may have taken effect
	confirmed := false // an answer has had a status

	for n := range attempts - 1 {
		now := answers[n%len(answers)]
		confirmed = confirmed || now.status() != ""

		if now.final() || now.err() == nil || !confirmed {
			t.Errorf("attempt %d of %d was made after %v, %v", n+2, attempts, now.err(), now.trailer)
		}

		doubtful = doubtful || now.status() != onlyonce.StatusReleased
	}

	last := answers[(attempts-1)%len(answers)]
	outcome := onlyonce.VerdictOf(err)

	if !errors.Is(err, last.err()) && status.Code(err) != status.Code(last.err()) {
		t.Errorf("the error is %v, the last attempt's %v", err, last.err())
	}

	if outcome == onlyonce.VerdictNotExecuted && (doubtful || last.status() != onlyonce.StatusReleased) {
		t.Errorf("not executed, after %d attempts of which the last said %q: %v", attempts, last.status(), err)
	}

	if outcome == onlyonce.VerdictFinal && doubtful && err != nil && !last.recorded() {
		t.Errorf("final, though an earlier attempt may have taken effect: %v", err)
	}
}
