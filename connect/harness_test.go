package onceconnect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce"
	onceconnect "github.com/onlyonce-go/onlyonce/connect"
	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const (
	payMethod    = shopv1.ShopService_Pay_FullMethodName
	refundMethod = shopv1.ShopService_Refund_FullMethodName
	findMethod   = shopv1.ShopService_Find_FullMethodName
	noteMethod   = shopv1.ShopService_Note_FullMethodName
	watchMethod  = shopv1.ShopService_Watch_FullMethodName
	collect      = shopv1.ShopService_Collect_FullMethodName
	shopService  = "shop.v1.ShopService"
)

// protocols are the three of connect-go, as options of a client.
func protocols() map[string][]connect.ClientOption {
	return map[string][]connect.ClientOption{
		"connect": nil, "grpc": {connect.WithGRPC()}, "grpcweb": {connect.WithGRPCWeb()}, "connect-json": {connect.WithProtoJSON()},
	}
}

// shop handles calls. A handler that is not set answers with the number of the run.
type shop struct {
	shopv1.UnimplementedShopServiceServer

	runs   atomic.Int64
	pay    func(ctx context.Context, req *connect.Request[shopv1.PayRequest]) (*connect.Response[shopv1.PayResponse], error)
	refund func(ctx context.Context, req *shopv1.RefundRequest) (*shopv1.RefundResponse, error)
}

func (s *shop) handlePay(ctx context.Context, req *connect.Request[shopv1.PayRequest]) (*connect.Response[shopv1.PayResponse], error) {
	run := s.runs.Add(1)
	if s.pay != nil {
		return s.pay(ctx, req)
	}

	return connect.NewResponse(&shopv1.PayResponse{Receipt: fmt.Sprintf("run %d", run)}), nil
}

func (s *shop) handleRefund(ctx context.Context, req *shopv1.RefundRequest) (*shopv1.RefundResponse, error) {
	run := s.runs.Add(1)
	if s.refund != nil {
		return s.refund(ctx, req)
	}

	return &shopv1.RefundResponse{Receipt: fmt.Sprintf("run %d", run)}, nil
}

// routes returns the handlers of connect-go, as generated code would.
func (s *shop) routes(opts ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	schema := shopv1.File_shop_v1_shop_proto.Services().ByName("ShopService").Methods()

	with := func(name string, more ...connect.HandlerOption) connect.HandlerOption {
		more = append(more, connect.WithSchema(schema.ByName(protoreflect.Name(name))))

		return connect.WithHandlerOptions(append(slices.Clip(opts), more...)...)
	}

	mux.Handle(payMethod, connect.NewUnaryHandler(payMethod, s.handlePay, with("Pay")))
	mux.Handle(refundMethod, connect.NewUnaryHandlerSimple(refundMethod, s.handleRefund, with("Refund")))
	mux.Handle(findMethod, connect.NewUnaryHandlerSimple(findMethod,
		func(context.Context, *shopv1.FindRequest) (*shopv1.FindResponse, error) {
			return &shopv1.FindResponse{Run: s.runs.Add(1)}, nil
		}, with("Find", connect.WithIdempotency(connect.IdempotencyNoSideEffects))))
	mux.Handle(noteMethod, connect.NewUnaryHandlerSimple(noteMethod,
		func(context.Context, *shopv1.NoteRequest) (*shopv1.NoteResponse, error) {
			s.runs.Add(1)

			return &shopv1.NoteResponse{}, nil
		}, with("Note")))
	mux.Handle(watchMethod, connect.NewServerStreamHandler(watchMethod,
		func(_ context.Context, _ *connect.Request[shopv1.WatchRequest], stream *connect.ServerStream[shopv1.WatchResponse]) error {
			s.runs.Add(1)

			return stream.Send(&shopv1.WatchResponse{Order: "1"})
		}, with("Watch")))
	mux.Handle(collect, connect.NewClientStreamHandlerSimple(collect,
		func(_ context.Context, stream *connect.ClientStream[shopv1.CollectRequest]) (*shopv1.CollectResponse, error) {
			s.runs.Add(1)

			answer := new(shopv1.CollectResponse)
			for stream.Receive() {
				answer.Count++
			}

			return answer, stream.Err()
		}, with("Collect")))

	return mux
}

// Pay implements shopv1.ShopServiceServer, for grpc-go.
func (s *shop) Pay(ctx context.Context, req *shopv1.PayRequest) (*shopv1.PayResponse, error) {
	resp, err := s.handlePay(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}

	return resp.Msg, nil
}

// setup says what a world is made of. What is zero is left out or has the obvious default.
type setup struct {
	store   store.Store
	engine  []onlyonce.Option
	scope   func() interceptor.Scope
	server  []interceptor.ServerOption
	before  []connect.Interceptor // in front of the interceptor
	behind  []connect.Interceptor
	bare    bool                            // there is no Handler
	wrap    func(http.Handler) http.Handler // around everything
	tls     *tls.Config
	options []connect.HandlerOption
}

// world is a server of connect-go with a store.
type world struct {
	shop

	store   store.Store
	engine  *onlyonce.Engine
	protect *interceptor.Server
	server  *onceconnect.Server
	url     string
}

// patient lets runs and waits take as long as the test.
func patient() onlyonce.Option {
	return onlyonce.WithPolicy(onlyonce.Policy{MaxRun: time.Hour, MaxWait: time.Hour, Lease: time.Hour})
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()

	w := &world{store: s.store}
	if w.store == nil {
		w.store = memstore.New()
	}

	if s.scope == nil {
		s.scope = interceptor.ScopeShared
	}

	w.engine = must(onlyonce.New(w.store, append([]onlyonce.Option{patient()}, s.engine...)...))(t)
	w.protect = must(interceptor.NewServer(w.engine, s.scope(), s.server...))(t)
	w.server = onceconnect.NewServer(w.protect)

	chain := slices.Concat(s.before, []connect.Interceptor{w.server}, s.behind)
	handler := w.routes(append(s.options, connect.WithInterceptors(chain...))...)

	if !s.bare {
		handler = onceconnect.Handler(handler)
	}

	if s.wrap != nil {
		handler = s.wrap(handler)
	}

	w.url = serve(t, handler, s.tls)

	return w
}

// serve serves HTTP/1.1 and HTTP/2 at a port of its own and returns the base URL.
func serve(t *testing.T, handler http.Handler, config *tls.Config) string {
	t.Helper()

	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), TLSConfig: config, ReadHeaderTimeout: time.Minute}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	served := make(chan error, 1)

	go func() {
		if config != nil {
			served <- server.ServeTLS(listener, "", "")
		} else {
			served <- server.Serve(listener)
		}
	}()

	t.Cleanup(func() {
		_ = server.Close()
		ended(served)
	})

	if config != nil {
		return "https://" + listener.Addr().String()
	}

	return "http://" + listener.Addr().String()
}

// ended waits for the end of a server.
func ended(served <-chan error) { <-served } //nolint:errcheck // it was stopped

// httpClient returns a client for a server that speaks HTTP/1.1, or HTTP/2 without TLS.
func httpClient(t *testing.T, http2 bool) *http.Client {
	t.Helper()

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)

	return &http.Client{Transport: transport}
}

// client calls the shop with connect-go.
type client struct {
	pay    *connect.Client[shopv1.PayRequest, shopv1.PayResponse]
	refund *connect.Client[shopv1.RefundRequest, shopv1.RefundResponse]
	find   *connect.Client[shopv1.FindRequest, shopv1.FindResponse]
	note   *connect.Client[shopv1.NoteRequest, shopv1.NoteResponse]
	watch  *connect.Client[shopv1.WatchRequest, shopv1.WatchResponse]
	gather *connect.Client[shopv1.CollectRequest, shopv1.CollectResponse]
}

// dial returns a client without an interceptor, unless the options have one.
func dial(t *testing.T, url string, opts ...connect.ClientOption) client {
	t.Helper()

	return dialBy(httpClient(t, true), url, opts...)
}

func dialBy(by connect.HTTPClient, url string, opts ...connect.ClientOption) client {
	return client{
		pay:    connect.NewClient[shopv1.PayRequest, shopv1.PayResponse](by, url+payMethod, opts...),
		refund: connect.NewClient[shopv1.RefundRequest, shopv1.RefundResponse](by, url+refundMethod, opts...),
		find: connect.NewClient[shopv1.FindRequest, shopv1.FindResponse](by, url+findMethod,
			append(slices.Clip(opts), connect.WithIdempotency(connect.IdempotencyNoSideEffects))...),
		note:   connect.NewClient[shopv1.NoteRequest, shopv1.NoteResponse](by, url+noteMethod, opts...),
		watch:  connect.NewClient[shopv1.WatchRequest, shopv1.WatchResponse](by, url+watchMethod, opts...),
		gather: connect.NewClient[shopv1.CollectRequest, shopv1.CollectResponse](by, url+collect, opts...),
	}
}

// dialOnce returns a client with the interceptor.
func dialOnce(t *testing.T, url string, opts []connect.ClientOption, more ...interceptor.ClientOption) client {
	t.Helper()

	once := must(onceconnect.NewClient(more...))(t)

	return dial(t, url, append(opts, connect.WithInterceptors(once))...)
}

// answer is what a caller got.
type answer struct {
	receipt         string
	header, trailer http.Header // of an error: both in trailer
	err             error
}

// payKeyed pays with a key.
func (c client) payKeyed(ctx context.Context, key string) answer {
	return c.payFor(ctx, key, &shopv1.PayRequest{Order: "1", Amount: 100})
}

func (c client) payFor(ctx context.Context, key string, msg *shopv1.PayRequest) answer {
	req := connect.NewRequest(msg)
	if key != "" {
		req.Header().Set(interceptor.KeyHeader, key)
	}

	resp, err := c.pay.CallUnary(ctx, req)
	if err != nil {
		return answer{trailer: metaOf(err), err: err}
	}

	return answer{receipt: resp.Msg.GetReceipt(), header: resp.Header(), trailer: resp.Trailer()}
}

func metaOf(err error) http.Header {
	failed, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}

	return failed.Meta()
}

func (a answer) status() onlyonce.Status {
	return onlyonce.Status(a.trailer.Get(interceptor.StatusTrailer))
}

// must checks the status of an answer.
func (a answer) must(t *testing.T, want onlyonce.Status) answer {
	t.Helper()

	if a.status() != want {
		t.Errorf("the status is %q, want %q: %+v", a.status(), want, a)
	}

	return a
}

// mustReject checks that an answer is a rejection.
func (a answer) mustReject(t *testing.T, want onlyonce.Reason) {
	t.Helper()

	if reason := reasonOf(t, a.err); reason != want {
		t.Errorf("the reason is %q, want %q: %v", reason, want, a.err)
	}

	wanted := onlyonce.StatusRejected
	if want == onlyonce.ReasonOutcomeUnknown {
		wanted = onlyonce.StatusUnknown
	}

	a.must(t, wanted)
}

// reasonOf is the reason in the details of a rejection.
func reasonOf(t *testing.T, err error) onlyonce.Reason {
	t.Helper()

	failed, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return ""
	}

	for _, detail := range failed.Details() {
		msg := must(detail.Value())(t)
		if info, ok := msg.(*errdetails.ErrorInfo); ok && info.GetDomain() == interceptor.Domain {
			return onlyonce.Reason(info.GetReason())
		}
	}

	return ""
}

func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}

		return value
	}
}
