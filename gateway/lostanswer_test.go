package oncegateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// unwritable cannot write one message, as JSON cannot write an Any of a type that is not linked.
type unwritable struct{ runtime.Marshaler }

func (m unwritable) Marshal(v any) ([]byte, error) {
	if _, ok := v.(*tillv1.ChargeResponse); ok {
		return nil, errors.New("a type is not linked")
	}

	return m.Marshaler.Marshal(v)
}

// The handler has charged. An error with the status executed would tell the client that the call has failed, and that another key is safe.
func TestF05AnAnswerThatTheGatewayCannotWriteIsUnknown(t *testing.T) {
	others := []runtime.ServeMuxOption{runtime.WithMarshalerOption(runtime.MIMEWildcard, unwritable{&runtime.JSONPb{}})}

	for name, s := range map[string]setup{
		"over a connection": {others: others}, "in process": {others: others, inProcess: true},
		"as a problem": {others: others, options: []oncegateway.Option{oncegateway.WithProblems()}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, nil)

			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)
			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)
			w.mustHaveRun(1)
		})
	}
}

// The option fails, and not the call. It may stand in front of the option that sets the status.
func TestF05AnAnswerThatAnOptionOfTheApplicationRefusesIsUnknown(t *testing.T) {
	failing := []runtime.ServeMuxOption{runtime.WithForwardResponseOption(func(context.Context, http.ResponseWriter, proto.Message) error {
		return status.Error(codes.NotFound, "no page for this charge")
	})}

	for name, s := range map[string]setup{
		"in front": {before: failing}, "behind": {others: failing}, "in front, in process": {before: failing, inProcess: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, nil)

			for range 2 { // the first answer, and a replay
				if a := w.post(charges, "order-1", payload); a.status < 400 || a.header.Get(oncehttp.StatusHeader) != "unknown" {
					t.Errorf("%d %v %s", a.status, a.header, a.body)
				}
			}

			w.mustHaveRun(1)
		})
	}
}

// Without a status, the outcome is unknown, too: the client of gRPC may give up before it has read the trailers.
func TestF05AnAnswerThatTheGatewayCannotReadIsUnknown(t *testing.T) {
	w := start(t, setup{}, nil)
	w.register(tillv1.NewTillServiceClient(w.dial(w.backend.String(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1)))))

	for range 10 { // the first answer, and replays
		a := w.post(charges, "order-1", payload)
		if a.header.Get(oncehttp.StatusHeader) == "" {
			a.mustBe("", http.StatusTooManyRequests)
		} else {
			a.mustBe(onlyonce.StatusUnknown, http.StatusTooManyRequests)
		}
	}

	w.mustHaveRun(1)
}

// The gateway sees no header, as with a recorded error.
func TestF05AnAnswerThatTheServerCannotSendIsUnknown(t *testing.T) {
	w := start(t, setup{server: []grpc.ServerOption{grpc.MaxSendMsgSize(1)}}, nil)

	for range 2 { // the first answer, and a replay
		w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, http.StatusTooManyRequests)
	}

	w.mustHaveRun(1)
}

// An interceptor in front of the kit may give up a call whose handler has succeeded, or fail after it.
func TestF05AnAnswerThatAnInterceptorInFrontReplacesIsUnknown(t *testing.T) {
	for code, want := range map[codes.Code]int{
		codes.DeadlineExceeded: http.StatusGatewayTimeout, codes.Canceled: 499, codes.Internal: http.StatusInternalServerError,
		codes.Unknown: http.StatusInternalServerError, codes.ResourceExhausted: http.StatusTooManyRequests,
	} {
		t.Run(code.String(), func(t *testing.T) {
			w := start(t, setup{server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(replacing(code))}}, nil)

			for range 2 { // the first answer, and a replay
				w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, want)
			}

			w.mustHaveRun(1)
		})
	}
}

// In one process, the code does not matter: the channel knows that the kit has returned a response.
func TestF05AnAnswerThatAnInterceptorInProcessReplacesIsUnknown(t *testing.T) {
	for code, want := range map[codes.Code]int{
		codes.NotFound: http.StatusNotFound, codes.PermissionDenied: http.StatusForbidden, codes.AlreadyExists: http.StatusConflict,
	} {
		t.Run(code.String(), func(t *testing.T) {
			w := start(t, setup{inProcess: true}, nil)

			channel := oncegateway.NewInProcess(w.protect, replacing(code))
			tillv1.RegisterTillServiceServer(channel, w.till)
			w.register(tillv1.NewTillServiceClient(channel))

			for range 2 { // the first answer, and a replay
				a := w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, want)
				if a.header.Get(oncehttp.ReplayedHeader)+a.header.Get(oncehttp.ExecutedAtHeader) != "" {
					t.Errorf("the error looks like a replay: %v", a.header)
				}
			}

			w.mustHaveRun(1)

			w.handle = func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				return nil, status.Error(code, "of the handler")
			}

			w.post(charges, "order-2", payload).mustBe(onlyonce.StatusExecuted, want)
			w.post(charges, "order-2", payload).mustBe(onlyonce.StatusReplayed, want)
		})
	}
}

// replacing is an interceptor that replaces every answer by an error.
func replacing(code codes.Code) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		_, _ = handler(ctx, req)

		return nil, status.Error(code, "the handler took too long")
	}
}

// The gateway could have made an error with this code. So the first answer is unknown, and the replay is not.
func TestARecordedErrorOfTheServerIsReplayed(t *testing.T) {
	for name, s := range map[string]setup{"over a connection": {}, "in process": {inProcess: true}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, s, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("till", "7"))

				return nil, onlyonce.Final(status.Error(codes.ResourceExhausted, "the limit of this customer"))
			})

			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusUnknown, http.StatusTooManyRequests)
			w.post(charges, "order-1", payload).mustBe(onlyonce.StatusReplayed, http.StatusTooManyRequests)
			w.mustHaveRun(1)
		})
	}
}

// Grpc-gateway writes the bytes of binary metadata into headers, and no HTTP/1.1 client reads such an answer: each retry would fail, too.
func TestBinaryMetadataDoNotMakeAnAnswerUnreadable(t *testing.T) {
	binary := metadata.Pairs("trace-bin", "\x00\x01\xff")

	for name, options := range map[string][]oncegateway.Option{"status": nil, "problem": {oncegateway.WithProblems()}} {
		for failure, want := range map[error]int{nil: http.StatusOK, status.Error(codes.NotFound, "none"): http.StatusNotFound} {
			t.Run(name, func(t *testing.T) {
				w := start(t, setup{options: options}, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
					return &tillv1.ChargeResponse{}, errors.Join(grpc.SetHeader(ctx, binary), grpc.SetTrailer(ctx, binary), failure)
				})

				for _, said := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
					w.post(charges, "order-1", payload, "TE", "trailers").mustBe(said, want)
				}
			})
		}
	}
}

// An error handler of the application may log every error.
func TestEveryErrorHasAText(t *testing.T) {
	var text string

	mux := runtime.NewServeMux(oncegateway.Options(oncegateway.WithErrorHandler(
		func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, _ http.ResponseWriter, _ *http.Request, err error) {
			text = err.Error()
		}))...)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://till/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	runtime.HTTPError(t.Context(), mux, &runtime.JSONPb{}, discard{}, r, &runtime.HTTPStatusError{HTTPStatus: http.StatusTeapot})

	if text == "" {
		t.Error("the error has no text")
	}
}

// discard is a response writer that keeps nothing.
type discard struct{}

func (discard) Header() http.Header         { return make(http.Header) }
func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (discard) WriteHeader(int)             {}

// The trailers of an error need an answer without a length.
func TestAnErrorHasTheTrailersOfTheApplication(t *testing.T) {
	for name, options := range map[string][]oncegateway.Option{"status": nil, "problem": {oncegateway.WithProblems()}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{options: options}, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
				return nil, errors.Join(grpc.SetTrailer(ctx, metadata.Pairs("till", "7")), status.Error(codes.NotFound, "no such customer"))
			})

			got := w.post(charges, "order-1", payload, "TE", "trailers").mustBe(onlyonce.StatusExecuted, http.StatusNotFound)
			if till := got.trailer.Get("Grpc-Trailer-Till"); till != "7" {
				t.Errorf("the trailer is %q, want 7: %v, %v", till, got.header, got.trailer)
			}
		})
	}
}

// An interceptor in front may pass on the trailers of another server.
func TestTheStatusOfTheKitCountsAndNotOneInFront(t *testing.T) {
	forged := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("idempotency-status", "executed"))

		return handler(ctx, req)
	}

	w := start(t, setup{server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(forged)}}, nil)
	w.post(charges, "order 1", payload).mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
}
