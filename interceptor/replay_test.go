package interceptor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
)

// rich sets metadata of all kinds and then answers.
func rich(answer handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-first", "1", "x-many", "b", "x-many", "a", "x-many", "b"))
		_ = grpc.SetHeader(ctx, metadata.MD{"x-raw-bin": {"\x00\xff\xfe raw", "", "second"}})
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-cost", "3", "x-empty", "", "x-sum-bin", "\xde\xad\xbe\xef"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-cost", "4"))

		return answer(ctx, req)
	}
}

func giving(resp *pb.SimpleResponse) handlerFunc {
	return func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) { return resp, nil }
}

// odd is a response with fields of a later version of its message.
func odd() *pb.SimpleResponse {
	resp := &pb.SimpleResponse{Username: "Ann", Payload: &pb.Payload{Body: []byte{0, 1, 2, 255}}}
	resp.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 3, 'n', 'e', 'w'})

	return resp
}

// unseen is an error with details of types that are not linked in. One of them is broken.
func unseen(code codes.Code) error {
	return status.FromProto(&spb.Status{Code: int32(code), Message: "no, ünicode and\nlines", Details: []*anypb.Any{
		{TypeUrl: "type.googleapis.com/never.Seen", Value: []byte{0x0a, 3, 1, 2, 3}},
		{TypeUrl: "example.com/never.Seen", Value: []byte("\xff not even a message")},
		{TypeUrl: "", Value: nil},
		{TypeUrl: "type.googleapis.com/google.rpc.RetryInfo", Value: []byte("\xff broken")},
	}}).Err()
}

// saying is an error with another text.
func saying(err error, text string) error {
	st := status.Convert(err).Proto()
	st.Message = text

	return status.FromProto(st).Err()
}

func TestReplayIsTheSameAnswer(t *testing.T) {
	tests := map[string]handlerFunc{
		"response":                   rich(answering("Ann")),
		"response without metadata":  answering("Ann"),
		"response of a later schema": rich(giving(odd())),
		"F51 an empty response":      rich(giving(&pb.SimpleResponse{})),
		"F51 a nil response":         giving(nil),
		"error":                      rich(failing(status.Error(codes.FailedPrecondition, "the account is closed"))),
		"error without metadata":     failing(status.Error(codes.NotFound, "")),
		"F38 details nobody knows":   rich(failing(unseen(codes.AlreadyExists))),
		"error text without UTF-8":   rich(failing(status.Error(codes.NotFound, "no such caf\xe9\xff"))),
		"and with details":           rich(failing(saying(unseen(codes.NotFound), "no such caf\xe9"))),
		"final error with details":   rich(failing(onlyonce.Final(unseen(codes.Unavailable)))),
	}

	for name, handle := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, setup{}, handle)
				first := w.pay(t, "key")
				first.mustHaveStatus(t, onlyonce.StatusExecuted)

				for range 2 {
					time.Sleep(time.Hour)
					w.pay(t, "key").mustBeReplayOf(t, first, first.at)
				}

				w.mustHaveRun(t, 1)
			})
		})
	}
}

func TestF51_NothingAtAllIsAnEmptyAnswer(t *testing.T) {
	nothing := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		_, _ = handler(ctx, req)

		return nil, nil //nolint:nilnil // the case
	}
	w := start(t, setup{behind: []grpc.UnaryServerInterceptor{nothing}}, nil)

	first := w.pay(t, "key")
	first.mustAnswer(t, "")
	first.mustHaveStatus(t, onlyonce.StatusExecuted)
	w.pay(t, "key").mustAnswer(t, "")
	w.mustHaveRun(t, 1)
}

func TestMetadataOfOneCallAloneIsNotReplayed(t *testing.T) {
	mine := metadata.Pairs(
		"authorization", "1", "date", "1", "set-cookie", "1", "www-authenticate", "1", "proxy-authenticate", "1", "retry-after", "1",
		"server-timing", "1", "traceparent", "1", "tracestate", "1", "x-retry-attempt", "1",
		"idempotency-executed-at", "1", "idempotency-key", "1", "idempotent-replayed", "1",
		"grpc-retry-pushback-ms", "1", "x-request-id", "1", "x-kept", "1",
	)

	w := start(t, setup{server: []interceptor.ServerOption{interceptor.WithUnrecordedMetadata("X-Request-ID")}},
		func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			return &pb.SimpleResponse{}, errors.Join(grpc.SetHeader(ctx, mine), grpc.SetTrailer(ctx, mine))
		})

	first := w.pay(t, "key")
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	for _, name := range []string{"set-cookie", "x-request-id", "x-kept"} {
		if len(first.header.Get(name)) != 1 || len(first.trailer.Get(name)) != 1 {
			t.Errorf("the first caller did not get %s: header %v, trailer %v", name, first.header, first.trailer)
		}
	}

	replay := w.pay(t, "key")

	for name := range mine {
		kept := len(replay.header.Get(name)) + len(replay.trailer.Get(name))

		switch name {
		case "x-kept":
			if kept != 2 {
				t.Errorf("%s is not replayed: header %v, trailer %v", name, replay.header, replay.trailer)
			}
		case "idempotency-executed-at", "idempotent-replayed": // the replay's own
			if got := replay.trailer.Get(name); len(got) != 1 || got[0] == "1" {
				t.Errorf("trailer %s is %q", name, got)
			}
		default:
			if kept != 0 {
				t.Errorf("%s is replayed: header %v, trailer %v", name, replay.header, replay.trailer)
			}
		}
	}
}

func TestMetadataOfOuterInterceptorsIsNotReplayedTwice(t *testing.T) {
	outer := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-outer", "1"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-outer", "1"))

		return handler(ctx, req)
	}
	w := start(t, setup{before: []grpc.UnaryServerInterceptor{outer}}, rich(answering("Ann")))

	for range 3 {
		a := w.pay(t, "key")
		if h, tr := a.header.Get("x-outer"), a.trailer.Get("x-outer"); len(h) != 1 || len(tr) != 1 {
			t.Errorf("header %q and trailer %q, want one value each", h, tr)
		}
	}
}

func TestF50_HandlerMayChangeItsRequest(t *testing.T) {
	w := start(t, setup{}, func(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		got := string(req.GetPayload().GetBody())
		req.Payload.Body[0] = 'X'
		req.ResponseSize = 99
		req.Payload = nil

		return &pb.SimpleResponse{Username: got}, nil
	})

	w.pay(t, "key").mustAnswer(t, "10 EUR to Ann")

	again := w.pay(t, "key")
	again.mustAnswer(t, "10 EUR to Ann")
	again.mustHaveStatus(t, onlyonce.StatusReplayed)
	w.call(withKey(t.Context(), "key"), &pb.SimpleRequest{ResponseSize: 99}).mustBe(t, keyReused)
	w.mustHaveRun(t, 1)
}

func TestF05_ConnectionCutBeforeTheReply(t *testing.T) {
	handlers := map[string]handlerFunc{
		"response": rich(giving(odd())),
		"error":    rich(failing(unseen(codes.NotFound))),
	}

	for name, handle := range handlers {
		t.Run(name, func(t *testing.T) {
			faults := newFaultStore()
			w := start(t, setup{store: faults, tcp: true}, handle)
			calls := 0

			faults.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
				res, err := faults.Store.Complete(ctx, op)

				calls++
				if calls == 2 {
					w.listener.cut()
				}

				return res, err
			}

			whole := w.pay(t, "twin") // the answer without a cut connection

			lost := w.pay(t, "key")
			if code := status.Code(lost.err); code != codes.Unavailable || len(lost.trailer) != 0 {
				t.Fatalf("the answer got through: %v, %v", lost.resp, lost.err)
			}

			retry := w.call(withKey(t.Context(), "key"), payment(), grpc.WaitForReady(true))
			retry.mustBeReplayOf(t, whole, executedAt(t, w))
			w.mustHaveRun(t, 2)
		})
	}
}

// executedAt is when the run of the key ended.
func executedAt(t *testing.T, w *world) time.Time {
	t.Helper()

	rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: "key"})
	if err != nil || rec.State != store.Completed {
		t.Fatalf("Lookup = %+v, %v", rec, err)
	}

	return rec.EndedAt
}

func TestErrorsThatAreNoStatusBecomeWhatGRPCMakesOfThem(t *testing.T) {
	tests := map[string]struct {
		err    error
		code   codes.Code
		status onlyonce.Status
	}{
		"plain":             {textError("boom"), codes.Unknown, "unknown"},
		"deadline":          {context.DeadlineExceeded, codes.DeadlineExceeded, "unknown"},
		"cancelled":         {context.Canceled, codes.Canceled, "unknown"},
		"wrapped":           {wrapped{status.Error(codes.NotFound, "nobody")}, codes.NotFound, "executed"},
		"marked":            {onlyonce.Final(textError("boom")), codes.Unknown, "executed"},
		"marked and within": {wrapped{onlyonce.NotExecuted(status.Error(codes.Aborted, "again"))}, codes.Aborted, "released"},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bare := start(t, setup{unprotected: true}, failing(test.err)).pay(t, "key")

			w := start(t, setup{}, failing(test.err))
			a := w.pay(t, "key")
			a.mustHaveStatus(t, test.status)
			a.mustFail(t, test.code, status.Convert(bare.err).Message())

			if test.status == "executed" {
				w.pay(t, "key").mustBeReplayOf(t, a, executedAt(t, w))
			}
		})
	}
}

type textError string

func (e textError) Error() string { return string(e) }

type wrapped struct{ error }

func (w wrapped) Error() string { return "while paying: " + w.error.Error() }
func (w wrapped) Unwrap() error { return w.error }
