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
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// A handler that passes on the metadata of another service must not speak of its own call with it.
func TestF57_ForwardedMetadataDoesNotReplaceTheStatusOfThisCall(t *testing.T) {
	for _, forged := range []string{"released", "replayed", "executed"} {
		w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			foreign := metadata.Pairs("idempotency-status", forged, "idempotent-replayed", "true", "x-other", "kept")
			if err := errors.Join(grpc.SetTrailer(ctx, foreign), grpc.SetHeader(ctx, foreign)); err != nil {
				return nil, err
			}

			return nil, status.Error(codes.Aborted, "charged, and then something went wrong")
		})

		var header, trailer metadata.MD

		_, err := w.client(t).UnaryCall(t.Context(), payment(), grpc.Header(&header), grpc.Trailer(&trailer))
		if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
			t.Errorf("with a forwarded %q the outcome is %v, want unknown", forged, onlyonce.VerdictOf(err))
		}

		if got := trailer.Get("idempotency-status"); len(got) != 1 || got[0] != "unknown" {
			t.Errorf("the status is %q, want unknown", got)
		}

		if len(header.Get("idempotent-replayed")) != 0 || len(trailer.Get("x-other")) != 1 {
			t.Errorf("header %v, trailer %v: want the handler's own metadata and nothing of the contract's", header, trailer)
		}
	}
}

// If keys are ignored, the client must not get a status of another call.
func TestF57_ForwardedMetadataGivesAnUnprotectedCallNoStatus(t *testing.T) {
	w := start(t, setup{server: keyPolicy(interceptor.Policy{Key: interceptor.KeyIgnored})},
		func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			foreign := metadata.Pairs("idempotency-status", "released", "x-other", "kept")
			if err := errors.Join(grpc.SetTrailer(ctx, foreign), grpc.SetHeader(ctx, foreign), grpc.SendHeader(ctx, foreign)); err != nil {
				return nil, err
			}

			return nil, status.Error(codes.Aborted, "charged, and then something went wrong")
		})

	var header, trailer metadata.MD

	_, err := w.client(t).UnaryCall(t.Context(), payment(), grpc.Header(&header), grpc.Trailer(&trailer))
	if onlyonce.VerdictOf(err) != onlyonce.VerdictUnknown {
		t.Errorf("the outcome is %v, want unknown", onlyonce.VerdictOf(err))
	}

	if len(trailer.Get("idempotency-status"))+len(header.Get("idempotency-status")) != 0 || len(trailer.Get("x-other")) != 1 {
		t.Errorf("header %v, trailer %v: want the handler's own metadata and nothing of the contract's", header, trailer)
	}
}

func TestInterceptorsThatAreInstalledTwice(t *testing.T) {
	t.Run("on a client they do not multiply attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))

			again, err := interceptor.DialOptions(interceptor.WithAllMethods())
			if err != nil {
				t.Fatal(err)
			}

			once, err := interceptor.DialOptions(interceptor.WithAllMethods(), interceptor.WithRetry(retry.Policy{MaxAttempts: 4}))
			if err != nil {
				t.Fatal(err)
			}

			_, _ = pb.NewTestServiceClient(w.dial(t, append(once, again...)...)).UnaryCall(t.Context(), payment())
			seen.mustBe(t, 4)
		})
	})

	t.Run("on a client for different methods each retries its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))

			var both []grpc.DialOption

			for _, method := range []string{emptyCall, unaryCall} {
				dial, err := interceptor.DialOptions(interceptor.WithMethods(method), interceptor.WithRetry(retry.Policy{MaxAttempts: 3}))
				if err != nil {
					t.Fatal(err)
				}

				both = append(both, dial...)
			}

			_, _ = pb.NewTestServiceClient(w.dial(t, both...)).UnaryCall(t.Context(), payment(), interceptor.WithKey("key"))
			seen.mustBe(t, 3)
		})
	})

	t.Run("on a server the call is refused at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			engine, err := onlyonce.New(memstore.New())
			if err != nil {
				t.Fatal(err)
			}

			protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
			if err != nil {
				t.Fatal(err)
			}

			w := start(t, setup{unprotected: true, before: []grpc.UnaryServerInterceptor{protect.Unary, protect.Unary}}, nil)
			began := time.Now()

			if err := w.call(withKey(t.Context(), "key"), payment()).err; !strings.Contains(status.Convert(err).Message(), "installed twice") {
				t.Errorf("got %v, want to be told what is wrong", err)
			}

			if time.Since(began) != 0 {
				t.Errorf("it took %v", time.Since(began))
			}
		})
	})
}

func TestHealthChecksNeedNoKey(t *testing.T) {
	w := start(t, setup{
		server:   keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired}),
		register: func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) },
	}, nil)

	if _, err := healthpb.NewHealthClient(w.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestMethodsThatDoNotExistAreReported(t *testing.T) {
	_ = lookups()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	required := interceptor.Policy{Key: interceptor.KeyRequired}

	for method, want := range map[string]string{
		"/grpc.testing.TestService/UnaryCal": "there is no method", lookupGet: "NO_SIDE_EFFECTS",
	} {
		_, err := interceptor.NewServer(engine, interceptor.ScopeShared(), interceptor.WithMethodPolicy(method, required))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", method, err, want)
		}
	}

	if _, err := interceptor.DialOptions(interceptor.WithMethods("/grpc.testing.TestService/UnaryCal")); err == nil {
		t.Error("the client accepts a method that does not exist")
	}
}

func TestCauseOfACallersEndIsNotInTheAnswer(t *testing.T) {
	cut := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(errors.New("secret: the pool at 10.0.0.3 sheds load"))

		return handler(ended, req)
	}

	w := start(t, setup{before: []grpc.UnaryServerInterceptor{cut}}, nil)

	err := w.call(withKey(t.Context(), "key"), payment()).err
	if status.Code(err) != codes.Canceled || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want CANCELLED without its cause", err)
	}
}

func TestErrorOfTheHandlerIsWrappedInOutcomeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, failing(status.Error(codes.Unavailable, "line 7 is dead")))

		_, err := w.client(t).UnaryCall(t.Context(), payment())
		if reason := status.Convert(err).Details(); len(reason) == 0 || status.Code(err) != codes.Unknown {
			t.Errorf("got %v, want OUTCOME_UNKNOWN with its details", err)
		}

		var all interface{ Unwrap() error }
		if !errors.As(err, &all) || !strings.Contains(all.Unwrap().Error(), "line 7 is dead") {
			t.Errorf("the handler's error is lost: %v", err)
		}
	})
}
