package interceptor_test

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// largeError is an error with so many bytes in each place.
type largeError struct{ header, trailer, binary, message, details int }

func (e largeError) handle(ctx context.Context) error {
	md := func(name string, size int) metadata.MD {
		if size == 0 {
			return nil
		}

		return metadata.Pairs(name, strings.Repeat("v", size))
	}

	_ = grpc.SetHeader(ctx, md("x-header", e.header))
	_ = grpc.SetTrailer(ctx, metadata.Join(md("x-trailer", e.trailer), md("x-bin", e.binary)))

	st := status.New(codes.NotFound, strings.Repeat("é", e.message)+"no")
	if e.details > 0 {
		st, _ = st.WithDetails(&errdetails.ErrorInfo{Reason: strings.Repeat("R", e.details), Domain: "bank"})
	}

	return st.Err()
}

// startLarge returns a client that accepts 8 KiB, of a server that answers with an error.
func startLarge(t *testing.T, current *largeError) *grpc.ClientConn {
	t.Helper()

	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		return nil, current.handle(ctx)
	})

	return w.dial(t, grpc.WithMaxHeaderListSize(8<<10))
}

func mustBeTheSameError(t *testing.T, first, replay answer) {
	t.Helper()

	replay.mustHaveStatus(t, onlyonce.StatusReplayed)

	a, b := status.Convert(first.err), status.Convert(replay.err)
	if a.Code() != b.Code() || a.Message() != b.Message() || fmt.Sprint(a.Details()) != fmt.Sprint(b.Details()) {
		t.Errorf("the replay is %v with %d details, want %v with %d", b.Code(), len(b.Details()), a.Code(), len(a.Details()))
	}
}

func TestF84_AReplayedErrorArrivesWhereTheFirstAnswerDid(t *testing.T) {
	for name, test := range map[string]struct {
		made     largeError
		want     []string // of the metadata
		leftOver []string
	}{
		"little":                {largeError{header: 100, trailer: 100, message: 10, details: 100}, []string{"x-header", "x-trailer"}, nil},
		"a large header":        {largeError{header: 3000, trailer: 100}, []string{"x-header", "x-trailer"}, nil},
		"a header at the limit": {largeError{header: 8000, trailer: 100}, []string{"x-trailer"}, []string{"x-header"}},
		"a large trailer":       {largeError{header: 1000, trailer: 7000}, []string{"x-trailer"}, []string{"x-header"}},
		"a large header and a large trailer": {
			largeError{header: 4500, trailer: 4500}, []string{"x-trailer"}, []string{"x-header"},
		},
		"a large header and large details": {largeError{header: 4500, details: 3400}, nil, []string{"x-header"}},
		"binary":                           {largeError{header: 4500, binary: 3300}, []string{"x-bin"}, []string{"x-header"}},
		"a large header and a long message": {
			largeError{header: 4500, trailer: 50, message: 700}, []string{"x-trailer"}, []string{"x-header"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := startLarge(t, &test.made)
			call := func() answer { return callOn(withKey(t.Context(), "key"), conn, unaryCall, payment()) }

			first, replay := call(), call()
			first.mustHaveStatus(t, onlyonce.StatusExecuted)
			mustBeTheSameError(t, first, replay)

			for _, name := range test.want {
				if len(replay.trailer.Get(name)) != 1 {
					t.Errorf("%s is missing", name)
				}
			}

			for _, name := range test.leftOver {
				if len(replay.trailer.Get(name)) != 0 {
					t.Errorf("%s has arrived, in a block that is larger than both of the first answer", name)
				}
			}

			if replay.headerFrame || len(replay.trailer.Get(interceptor.ExecutedAtTrailer)) != 1 {
				t.Errorf("header frame %t, trailer without large values: %v", replay.headerFrame, replay.trailer.Get(interceptor.ExecutedAtTrailer))
			}
		})
	}
}

// Each place is filled until one more byte would break the first answer. Its replay arrives, too.
func TestF84_AReplayedErrorArrivesEvenIfTheFirstAnswerHasFilledTheLimit(t *testing.T) {
	for name, fill := range map[string]func(n int) largeError{
		"header":                  func(n int) largeError { return largeError{header: n} },
		"header beside a trailer": func(n int) largeError { return largeError{header: n, trailer: 4000} },
		"trailer":                 func(n int) largeError { return largeError{trailer: n} },
		"trailer behind a header": func(n int) largeError { return largeError{header: 1, trailer: n} },
		"binary":                  func(n int) largeError { return largeError{header: 1, binary: n} },
		"message":                 func(n int) largeError { return largeError{message: n} },
		"message behind a header": func(n int) largeError { return largeError{header: 1, message: n} },
		"details":                 func(n int) largeError { return largeError{details: n} },
		"details behind a header": func(n int) largeError { return largeError{header: 1, details: n} },
		"both":                    func(n int) largeError { return largeError{header: n, details: n} },
	} {
		t.Run(name, func(t *testing.T) {
			var current largeError

			conn := startLarge(t, &current)
			call := func(n int) answer {
				current = fill(n)

				return callOn(withKey(t.Context(), fmt.Sprint("key-", n)), conn, unaryCall, payment())
			}

			most := sort.Search(9000, func(n int) bool { return status.Code(call(n+1).err) != codes.NotFound })
			if most < 1000 || most > 8500 {
				t.Fatalf("%d bytes arrive at first, want about 8 KiB in all", most)
			}

			current = fill(most)

			first := callOn(withKey(t.Context(), "full"), conn, unaryCall, payment())
			first.mustHaveStatus(t, onlyonce.StatusExecuted)
			mustBeTheSameError(t, first, callOn(withKey(t.Context(), "full"), conn, unaryCall, payment()))
		})
	}
}

// largeResponse is a handler that answers with so many bytes in one place.
func largeResponse(set func(context.Context, metadata.MD) error, size *int) handlerFunc {
	return func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_ = set(ctx, metadata.Pairs("x-large", strings.Repeat("v", *size)))

		return &pb.SimpleResponse{Username: "paid"}, nil
	}
}

// Each place is filled until one more byte would break the first answer, and with some bytes less. The replay arrives, too.
func TestF84_AReplayedResponseArrivesEvenIfTheFirstAnswerHasFilledTheLimit(t *testing.T) {
	for name, set := range map[string]func(context.Context, metadata.MD) error{"header": grpc.SetHeader, "trailer": grpc.SetTrailer} {
		for retention, made := range map[string]setup{
			"the usual retention": {}, "a retention of its own": {server: policy(onlyonce.Policy{Retention: 48 * time.Hour})},
		} {
			t.Run(name+", "+retention, func(t *testing.T) {
				size := 0
				conn := start(t, made, largeResponse(set, &size)).dial(t, grpc.WithMaxHeaderListSize(8<<10))
				call := func(key string) answer { return callOn(withKey(t.Context(), key), conn, unaryCall, payment()) }

				most := sort.Search(9000, func(n int) bool {
					size = n + 1

					return call(fmt.Sprint("key-", n)).err != nil
				})
				if most < 7000 || most > 8200 {
					t.Fatalf("%d bytes arrive at first, want about 8 KiB in all", most)
				}

				for _, less := range []int{0, 1, 54, 55, 74, 75, 129, 130, 184, 185, 200} {
					size = most - less
					key := fmt.Sprint("full-", less)

					first := call(key)
					first.mustHaveStatus(t, onlyonce.StatusExecuted)

					replay := call(key)
					if replay.err != nil {
						t.Fatalf("%d bytes below the limit: %v", less, replay.err)
					}

					first.mustAnswer(t, "paid")
					replay.mustAnswer(t, "paid")

					if got := replay.trailer.Get(interceptor.StatusTrailer); len(got) != 1 || got[0] != string(onlyonce.StatusReplayed) {
						t.Errorf("%d bytes below the limit: %s is %q", less, interceptor.StatusTrailer, got)
					}

					if len(replay.header.Get("x-large"))+len(replay.trailer.Get("x-large")) != 1 {
						t.Errorf("%d bytes below the limit: the metadata is missing", less)
					}
				}
			})
		}
	}
}

// A client that cannot receive a recorded response must not take its own error for the recorded answer. The header
// marks the difference, and may have no room for ReplayedHeader.
func TestF84_AReplayedResponseThatTheClientCannotReceiveIsNoRecordedError(t *testing.T) {
	for name, size := range map[string]int{"a small header": 10, "a full header": 8<<10 - 102 - 39 - 200} {
		for less := range 4 {
			size := size + 64*less
			w := start(t, setup{}, largeResponse(grpc.SetHeader, &size))

			callOn(withKey(t.Context(), "key"), w.conn, unaryCall, payment()).mustAnswer(t, "paid")

			dial, err := interceptor.DialOptions()
			if err != nil {
				t.Fatal(err)
			}

			conn := w.dial(t, append(dial, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1)))...)

			replay := callOn(withKey(t.Context(), "key"), conn, unaryCall, payment())
			if verdict := onlyonce.VerdictOf(replay.err); replay.err == nil || verdict != onlyonce.VerdictUnknown {
				t.Errorf("%s of %d bytes: the verdict of %v is %v", name, size, replay.err, verdict)
			}
		}
	}
}
