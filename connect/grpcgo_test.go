package onceconnect_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// grpcShop is the shop on grpc-go.
type grpcShop struct {
	shopv1.UnimplementedShopServiceServer

	runs int
	fail error
}

func (s *grpcShop) Pay(ctx context.Context, _ *shopv1.PayRequest) (*shopv1.PayResponse, error) {
	s.runs++
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-header", "h", "x-raw-bin", "\x00\xff"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t"))

	if s.fail != nil {
		return nil, s.fail
	}

	return &shopv1.PayResponse{Receipt: fmt.Sprintf("grpc-go %d", s.runs)}, nil
}

// serveGRPC serves the shop with grpc-go on a store, and returns a client without an interceptor.
func serveGRPC(t *testing.T, on store.Store, shop *grpcShop) shopv1.ShopServiceClient {
	t.Helper()

	protect := must(interceptor.NewServer(must(onlyonce.New(on))(t), interceptor.ScopeShared()))(t)
	server := grpc.NewServer(protect.ServerOptions()...)
	shopv1.RegisterShopServiceServer(server, shop)

	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	served := make(chan error, 1)

	go func() { served <- server.Serve(listener) }()

	t.Cleanup(func() {
		server.Stop()
		ended(served)
	})

	return dialGRPC(t, listener.Addr().String())
}

func dialGRPC(t *testing.T, target string, opts ...grpc.DialOption) shopv1.ShopServiceClient {
	t.Helper()

	conn := must(grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...))(t)
	t.Cleanup(func() { _ = conn.Close() })

	return shopv1.NewShopServiceClient(conn)
}

// payGRPC pays with a client of grpc-go.
func payGRPC(ctx context.Context, c shopv1.ShopServiceClient, key string) (receipt string, header, trailer metadata.MD, err error) {
	ctx = metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, key)

	resp, err := c.Pay(ctx, &shopv1.PayRequest{Order: "1", Amount: 100}, grpc.Header(&header), grpc.Trailer(&trailer))

	return resp.GetReceipt(), header, trailer, err
}

// first is the first value of a name.
func first(md metadata.MD, name string) string { return strings.Join(md.Get(name), "|") }

func TestWhatGRPCGoHasRunIsReplayedByConnect(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			on, shop := memstore.New(), new(grpcShop)

			receipt, _, trailer, err := payGRPC(t.Context(), serveGRPC(t, on, shop), "key")
			if err != nil || first(trailer, interceptor.StatusTrailer) != "executed" {
				t.Fatalf("%v, %v", trailer, err)
			}

			w := newWorld(t, setup{store: on})

			got := dial(t, w.url, opts...).payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)
			if got.receipt != receipt || got.header.Get("X-Header") != "h" || got.header.Get("X-Raw-Bin") != "AP8" ||
				got.trailer.Get("X-Trailer") != "t" || w.runs.Load() != 0 {
				t.Errorf("got %+v in %d runs, want %q", got, w.runs.Load(), receipt)
			}

			dial(t, w.url, opts...).payFor(t.Context(), "key", &shopv1.PayRequest{Order: "2"}).mustReject(t, onlyonce.ReasonKeyReused)
		})
	}
}

func TestAnErrorOfGRPCGoIsReplayedByConnect(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			declined, err := status.New(codes.FailedPrecondition, "the card is declined: 50% übrig").
				WithDetails(&errdetails.ErrorInfo{Reason: "DECLINED", Domain: "bank"})
			if err != nil {
				t.Fatal(err)
			}

			on := memstore.New()

			_, _, _, err = payGRPC(t.Context(), serveGRPC(t, on, &grpcShop{fail: declined.Err()}), "key")
			if status.Code(err) != codes.FailedPrecondition {
				t.Fatal(err)
			}

			w := newWorld(t, setup{store: on})
			got := dial(t, w.url, opts...).payKeyed(t.Context(), "key").must(t, onlyonce.StatusReplayed)
			got.trailer.Set("X-Decline", "7") // this shop does not set it
			mustBeDeclined(t, got)

			if got.trailer.Get("X-Header") != "h" || got.trailer.Get("X-Trailer") != "t" || w.runs.Load() != 0 {
				t.Errorf("got %+v in %d runs", got, w.runs.Load())
			}
		})
	}
}

func TestWhatConnectHasRunIsReplayedByGRPCGo(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				resp := connect.NewResponse(&shopv1.PayResponse{Receipt: "connect"})
				resp.Header().Set("X-Header", "h")
				resp.Header().Set("X-Raw-Bin", connect.EncodeBinaryHeader([]byte{0, 255}))
				resp.Trailer().Set("X-Trailer", "t")

				return resp, nil
			}
			dial(t, w.url, opts...).payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)

			shop := new(grpcShop)

			receipt, header, trailer, err := payGRPC(t.Context(), serveGRPC(t, w.store, shop), "key")
			if err != nil || receipt != "connect" || first(header, "x-header") != "h" || first(header, "x-raw-bin") != "\x00\xff" ||
				first(trailer, "x-trailer") != "t" || first(trailer, interceptor.StatusTrailer) != "replayed" || shop.runs != 0 {
				t.Errorf("%q, %v, %v, %v, %d runs", receipt, header, trailer, err, shop.runs)
			}
		})
	}
}

func TestAnErrorOfConnectIsReplayedByGRPCGo(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.pay = func(context.Context, *payRequest) (*payResponse, error) {
				return nil, detailed(t)
			}
			dial(t, w.url, opts...).payKeyed(t.Context(), "key").must(t, onlyonce.StatusExecuted)

			shop := new(grpcShop)
			_, _, trailer, err := payGRPC(t.Context(), serveGRPC(t, w.store, shop), "key")

			st := status.Convert(err)
			if st.Code() != codes.FailedPrecondition || st.Message() != "the card is declined: 50% übrig" || first(trailer, "x-decline") != "7" ||
				len(st.Details()) != 1 || shop.runs != 0 {
				t.Errorf("%v, %v, %d runs", err, trailer, shop.runs)
			}

			if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "DECLINED" {
				t.Errorf("the detail is %v", st.Details()[0])
			}
		})
	}
}

// nativeRetries is a service config with gRPC's own retries.
const nativeRetries = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func TestNativeRetriesOfGRPCGoRetryRejectionsOfAWrappedHandler(t *testing.T) {
	for name, c := range map[string]struct {
		bare bool
		wrap func(http.Handler) http.Handler
		want codes.Code
	}{
		"wrapped":                           {want: codes.OK},
		"wrapped, with a header from front": {wrap: sets, want: codes.OK},
		"not wrapped":                       {bare: true, want: codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{bare: c.bare, wrap: c.wrap, before: []connect.Interceptor{busyOnce()}})
			client := dialGRPC(t, strings.TrimPrefix(w.url, "http://"), grpc.WithDefaultServiceConfig(nativeRetries))

			_, header, trailer, err := payGRPC(t.Context(), client, "key")
			if status.Code(err) != c.want {
				t.Errorf("%v, header %v, trailer %v", err, header, trailer)
			}
		})
	}
}

// busyOnce answers the first call as a server does whose store cannot be reached.
func busyOnce() connect.UnaryInterceptorFunc {
	called := false

	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if !called {
				called = true

				return nil, connect.NewError(connect.CodeUnavailable, errors.New("busy"))
			}

			return next(ctx, req)
		}
	}
}

func TestAClientOfGRPCGoUnderstandsRejectionsOfConnect(t *testing.T) {
	w := newWorld(t, setup{})
	client := dialGRPC(t, strings.TrimPrefix(w.url, "http://"))

	_, err := client.Pay(t.Context(), &shopv1.PayRequest{})
	st := status.Convert(err)

	if st.Code() != codes.InvalidArgument || len(st.Details()) != 2 {
		t.Fatal(err)
	}

	if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != string(onlyonce.ReasonKeyMissing) {
		t.Errorf("the detail is %v", st.Details()[0])
	}

	if _, header, trailer, err := payGRPC(t.Context(), client, "two words"); err == nil || len(header) > 0 ||
		first(trailer, interceptor.StatusTrailer) != "rejected" {
		t.Errorf("%v, header %v, trailer %v", err, header, trailer)
	}
}

func TestTheClientOfPackageInterceptorWorksWithAServerOfConnect(t *testing.T) {
	w := newWorld(t, setup{})
	client := dialGRPC(t, strings.TrimPrefix(w.url, "http://"), must(interceptor.DialOptions())(t)...)

	resp, err := client.Pay(t.Context(), &shopv1.PayRequest{Order: "1"})
	if err != nil || !proto.Equal(resp, &shopv1.PayResponse{Receipt: "run 1"}) {
		t.Errorf("%v, %v", resp, err)
	}
}
