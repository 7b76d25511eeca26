package oncegateway_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// h2c serves a gRPC server under net/http, over HTTP/2 without TLS, and returns its address.
func h2c(t *testing.T, handler http.Handler) string {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	var protocols http.Protocols

	protocols.SetUnencryptedHTTP2(true)

	server := &http.Server{Handler: handler, Protocols: &protocols, ReadHeaderTimeout: time.Hour}

	go func() { _ = server.Serve(listener) }()

	t.Cleanup(func() { _ = server.Close() })

	return listener.Addr().String()
}

// nativeRetries is a service config that retries UNAVAILABLE.
const nativeRetries = `{"methodConfig": [{"name": [{"service": "till.v1.TillService"}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func TestGRPCUnderNetHTTP(t *testing.T) {
	for name, test := range map[string]struct {
		wrap     func(http.Handler) http.Handler
		attempts int64
	}{
		"ServeHTTP sends a header before each rejection, so that gRPC does not retry it": {func(h http.Handler) http.Handler { return h }, 1},
		"ServeGRPC lets gRPC retry it": {oncegateway.ServeGRPC, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, engine: newEngine(t, nil), till: &till{}}

			protect, err := interceptor.NewServer(w.engine, interceptor.ScopeShared(), interceptor.WithPolicy(interceptor.Policy{Policy: patient()}))
			if err != nil {
				t.Fatal(err)
			}

			attempts := &atomic.Int64{}
			count := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				attempts.Add(1)
				if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("busy")) > 0 {
					_ = grpc.SetTrailer(ctx, metadata.Pairs(interceptor.StatusTrailer, "rejected", interceptor.PushbackTrailer, "1"))

					return nil, status.Error(codes.Unavailable, "in progress")
				}

				return handler(ctx, req)
			}

			server := grpc.NewServer(grpc.ChainUnaryInterceptor(count, protect.Unary), grpc.ChainStreamInterceptor(protect.Stream))
			tillv1.RegisterTillServiceServer(server, w.till)
			t.Cleanup(server.Stop)

			client := tillv1.NewTillServiceClient(w.dial(h2c(t, test.wrap(server)), grpc.WithDefaultServiceConfig(nativeRetries)))
			ctx := metadata.AppendToOutgoingContext(t.Context(), interceptor.KeyHeader, "order-1")

			for _, said := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
				var trailer metadata.MD

				resp, err := client.Charge(ctx, &tillv1.ChargeRequest{Customer: "ann", Cents: 1}, grpc.Trailer(&trailer))
				if err != nil || resp.GetNumber() != 1 || trailer.Get(interceptor.StatusTrailer)[0] != string(said) {
					t.Errorf("%v, %v, %v; want %s", resp, err, trailer, said)
				}
			}

			var trailer metadata.MD

			_, err = client.Charge(ctx, &tillv1.ChargeRequest{Customer: "bob", Cents: 1}, grpc.Trailer(&trailer))
			if status.Code(err) != codes.FailedPrecondition || trailer.Get(interceptor.StatusTrailer)[0] != "rejected" ||
				len(status.Convert(err).Details()) == 0 {
				t.Errorf("another request: %v, %v", err, trailer)
			}

			stream, err := client.ListCharges(t.Context(), &tillv1.ListChargesRequest{Customer: "ann"})
			if err != nil {
				t.Fatal(err)
			}

			if one, err := stream.Recv(); err != nil || one.GetNumber() != 3 {
				t.Errorf("a stream: %v, %v", one, err)
			}

			attempts.Store(0)

			_, err = client.Charge(metadata.AppendToOutgoingContext(ctx, "busy", "yes"), &tillv1.ChargeRequest{}, grpc.Trailer(&trailer))
			if status.Code(err) != codes.Unavailable || attempts.Load() != test.attempts || trailer.Get(interceptor.StatusTrailer)[0] != "rejected" {
				t.Errorf("a call in progress: %d attempts, want %d; %v, %v", attempts.Load(), test.attempts, err, trailer)
			}
		})
	}
}

// What a middleware sets in every answer must not cost the retries.
func TestServeGRPCSendsTrailersOnlyBehindAMiddleware(t *testing.T) {
	attempts := &atomic.Int64{}
	server := grpc.NewServer()
	tillv1.RegisterTillServiceServer(server, &till{handle: func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		attempts.Add(1)

		return nil, status.Error(codes.Unavailable, "in progress")
	}})
	t.Cleanup(server.Stop)

	inner := oncegateway.ServeGRPC(server)
	middleware := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=60")
		inner.ServeHTTP(w, r)
	})

	w := &world{t: t}

	_, err := tillv1.NewTillServiceClient(w.dial(h2c(t, middleware), grpc.WithDefaultServiceConfig(nativeRetries))).
		Charge(t.Context(), &tillv1.ChargeRequest{})
	if status.Code(err) != codes.Unavailable || attempts.Load() != 4 {
		t.Errorf("%d attempts, want 4; %v", attempts.Load(), err)
	}
}

// deaf is a response writer that cannot flush.
type deaf struct{ http.ResponseWriter }

// The server of gRPC refuses such a writer, because streams would stand still.
func TestServeGRPCDoesNotHideAWriterThatCannotFlush(t *testing.T) {
	server := grpc.NewServer()
	t.Cleanup(server.Stop)

	for name, test := range map[string]struct {
		wrap    func(http.ResponseWriter) http.ResponseWriter
		refused bool
	}{
		"cannot flush":  {func(w http.ResponseWriter) http.ResponseWriter { return deaf{w} }, true},
		"can flush":     {func(w http.ResponseWriter) http.ResponseWriter { return w }, false},
		"can be opened": {func(w http.ResponseWriter) http.ResponseWriter { return opened{deaf{w}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/till.v1.TillService/Charge", http.NoBody)
			r.Header.Set("Content-Type", "application/grpc")
			r.ProtoMajor, r.Proto = 2, "HTTP/2.0"

			w := httptest.NewRecorder()
			oncegateway.ServeGRPC(server).ServeHTTP(test.wrap(w), r)

			if got := w.Code == http.StatusInternalServerError; got != test.refused {
				t.Errorf("%d %s; refused must be %v", w.Code, w.Body, test.refused)
			}
		})
	}
}

// opened is a wrapper that http.ResponseController can open.
type opened struct{ deaf }

func (o opened) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// Header metadata of an error arrives as header metadata, as with grpc.Server.Serve.
func TestServeGRPCLeavesHeadersOfErrorsWhereTheyAre(t *testing.T) {
	server := grpc.NewServer()
	tillv1.RegisterTillServiceServer(server, &till{handle: func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("till", "7"))

		return nil, status.Error(codes.NotFound, "no such customer")
	}})
	t.Cleanup(server.Stop)

	w := &world{t: t}

	var header, trailer metadata.MD

	_, err := tillv1.NewTillServiceClient(w.dial(h2c(t, oncegateway.ServeGRPC(server)))).
		Charge(t.Context(), &tillv1.ChargeRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) != codes.NotFound || len(header.Get("till")) != 1 || len(trailer.Get("till")) != 0 {
		t.Errorf("%v, header %v, trailer %v", err, header, trailer)
	}
}
