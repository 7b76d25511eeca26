package oncegateway_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// till counts the runs of its methods, and answers with the number of the run.
type till struct {
	tillv1.UnimplementedTillServiceServer

	runs   atomic.Int64
	handle func(ctx context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) // nil: as it says above
}

func (s *till) Charge(ctx context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
	n := s.runs.Add(1)
	if s.handle != nil {
		return s.handle(ctx, req)
	}

	return &tillv1.ChargeResponse{Number: n, Cents: req.GetCents()}, nil
}

func (s *till) Refund(context.Context, *tillv1.RefundRequest) (*tillv1.RefundResponse, error) {
	return &tillv1.RefundResponse{Number: s.runs.Add(1)}, nil
}

func (s *till) Ping(context.Context, *tillv1.PingRequest) (*tillv1.PingResponse, error) {
	s.runs.Add(1)

	return &tillv1.PingResponse{}, nil
}

func (s *till) GetCharge(context.Context, *tillv1.GetChargeRequest) (*tillv1.GetChargeResponse, error) {
	s.runs.Add(1)

	return &tillv1.GetChargeResponse{Cents: 1}, nil
}

func (s *till) ListCharges(req *tillv1.ListChargesRequest, stream grpc.ServerStreamingServer[tillv1.ListChargesResponse]) error {
	return stream.Send(&tillv1.ListChargesResponse{Number: int64(len(req.GetCustomer()))})
}

// setup is a gateway of a test, in front of a server. Its zero value has a memstore, one scope, and a handler that counts.
type setup struct {
	store       store.Store
	policy      interceptor.Policy
	scope       func() interceptor.Scope
	unprotected bool                     // the server has no interceptor
	before      []runtime.ServeMuxOption // in front of the options
	options     []oncegateway.Option
	others      []runtime.ServeMuxOption // behind them
	server      []grpc.ServerOption
	http2       bool
	inProcess   bool
}

// world is a gateway and the server behind it.
type world struct {
	*till

	t        *testing.T
	engine   *onlyonce.Engine
	protect  *interceptor.Server
	backend  net.Addr // of the gRPC server
	listener *cutListener
	gateway  *httptest.Server
	mux      *runtime.ServeMux
	client   *http.Client
}

// patient lets runs and waits take as long as the test.
func patient() onlyonce.Policy {
	return onlyonce.Policy{MaxRun: time.Hour, MaxWait: time.Hour, Lease: time.Hour}
}

// newEngine makes an engine that ends with the test.
func newEngine(t *testing.T, records store.Store) *onlyonce.Engine {
	t.Helper()

	if records == nil {
		records = memstore.New()
	}

	engine, err := onlyonce.New(records)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()

		_ = engine.Drain(over) // what the store has not acknowledged is abandoned
	})

	return engine
}

// start starts a server and a gateway.
func start(t *testing.T, s setup, handle func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error)) *world {
	t.Helper()

	w := &world{till: &till{handle: handle}, t: t, engine: newEngine(t, s.store)}

	if s.scope == nil {
		s.scope = interceptor.ScopeShared
	}

	if s.policy.MaxRun == 0 {
		s.policy.Policy = patient()
	}

	var err error
	if w.protect, err = interceptor.NewServer(w.engine, s.scope(), interceptor.WithPolicy(s.policy)); err != nil {
		t.Fatal(err)
	}

	w.mux = runtime.NewServeMux(slices.Concat(s.before, oncegateway.Options(s.options...), s.others)...)

	if s.inProcess {
		channel := oncegateway.NewInProcess(w.protect)
		tillv1.RegisterTillServiceServer(channel, w.till)
		w.register(tillv1.NewTillServiceClient(channel))
	} else {
		w.serve(s)
	}

	w.gateway = httptest.NewUnstartedServer(w.mux)
	w.gateway.Config.ErrorLog = log.New(io.Discard, "", 0)

	if s.http2 {
		w.gateway.EnableHTTP2 = true
		w.gateway.StartTLS()
	} else {
		w.gateway.Start()
	}

	t.Cleanup(w.gateway.Close)

	w.client = w.gateway.Client()

	return w
}

func (w *world) register(client tillv1.TillServiceClient) {
	w.t.Helper()

	if err := tillv1.RegisterTillServiceHandlerClient(context.Background(), w.mux, client); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts the gRPC server, and connects the gateway to it.
func (w *world) serve(s setup) {
	w.t.Helper()

	opts := append([]grpc.ServerOption{grpc.WaitForHandlers(true)}, s.server...)
	if !s.unprotected {
		opts = append(opts, w.protect.ServerOptions()...)
	}

	server := grpc.NewServer(opts...)
	tillv1.RegisterTillServiceServer(server, w.till)

	w.backend = w.listen(server)
	w.register(tillv1.NewTillServiceClient(w.dial(w.backend.String())))
}

// listen serves a gRPC server, and returns its address.
func (w *world) listen(server *grpc.Server) net.Addr {
	w.t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}

	cut := &cutListener{Listener: listener, open: make(map[net.Conn]bool)}
	w.listener = cut

	go func() { _ = server.Serve(cut) }()

	w.t.Cleanup(server.Stop)

	return listener.Addr()
}

// dial connects to a server, without a client interceptor.
func (w *world) dial(address string, opts ...grpc.DialOption) *grpc.ClientConn {
	w.t.Helper()

	conn, err := grpc.NewClient(address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Minute, Backoff: backoff.Config{
			BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond,
		}}),
	}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() { _ = conn.Close() })

	return conn
}

// cutListener can cut all connections that it has accepted.
type cutListener struct {
	net.Listener

	mu   sync.Mutex
	open map[net.Conn]bool
}

func (l *cutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.open[conn] = true

	return conn, nil
}

func (l *cutListener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()

	for conn := range l.open {
		_ = conn.Close()
	}

	clear(l.open)
}

// answer is what an HTTP client got.
type answer struct {
	t       *testing.T
	status  int
	header  http.Header
	trailer http.Header
	body    string
}

const (
	charges = "/v1/customers/ann/charges"
	payload = `{"cents": "100"}`
)

// request makes a request. Headers are pairs.
func (w *world) request(ctx context.Context, path, key, body string, headers ...string) *http.Request {
	w.t.Helper()

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}

	r.Header.Set("Content-Type", "application/json")

	if key != "" {
		r.Header.Set(oncehttp.KeyHeader, key)
	}

	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}

	return r
}

// send sends a request and reads its answer.
func (w *world) send(r *http.Request) *answer {
	w.t.Helper()

	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()

	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("reading the answer: %v", err)
	}

	return &answer{w.t, resp.StatusCode, resp.Header, resp.Trailer, string(body)}
}

// post sends a request to a path.
func (w *world) post(path, key, body string, headers ...string) *answer {
	w.t.Helper()

	return w.send(w.request(w.t.Context(), path, key, body, headers...))
}

func (w *world) mustHaveRun(n int64) {
	w.t.Helper()

	if got := w.runs.Load(); got != n {
		w.t.Errorf("the handler ran %d times, want %d", got, n)
	}
}

// mustBe checks what became of a request.
func (a *answer) mustBe(said onlyonce.Status, status int) *answer {
	a.t.Helper()

	if a.header.Get(oncehttp.StatusHeader) != string(said) || a.status != status {
		a.t.Errorf("%d %q; want %d %q; header %v, body %s", a.status, a.header.Get(oncehttp.StatusHeader), status, said, a.header, a.body)
	}

	replayed := said == onlyonce.StatusReplayed
	if (a.header.Get(oncehttp.ReplayedHeader) == "true") != replayed || (a.header.Get(oncehttp.ExecutedAtHeader) != "") != replayed {
		a.t.Errorf("%s %q, %s %q, and the status is %s", oncehttp.ReplayedHeader, a.header.Get(oncehttp.ReplayedHeader),
			oncehttp.ExecutedAtHeader, a.header.Get(oncehttp.ExecutedAtHeader), said)
	}

	return a
}

// mustReject checks a rejection in the form of google.rpc.Status.
func (a *answer) mustReject(status int, reason onlyonce.Reason) *answer {
	a.t.Helper()

	var body struct {
		Message string `json:"message"`
		Details []struct {
			Reason string `json:"reason"`
			Domain string `json:"domain"`
		} `json:"details"`
	}

	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		a.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}

	a.mustBe(onlyonce.StatusRejected, status)

	if len(body.Details) == 0 || body.Details[0].Reason != string(reason) || body.Details[0].Domain != "onlyonce" || body.Message == "" {
		a.t.Errorf("%d %s; want %s", a.status, a.body, reason)
	}

	return a
}

// mustEqual checks that two answers have the same status, body, and headers of the application.
func (a *answer) mustEqual(first *answer) {
	a.t.Helper()

	if a.status != first.status || a.body != first.body {
		a.t.Errorf("replayed %d %q, want %d %q", a.status, a.body, first.status, first.body)
	}

	for name, values := range first.header {
		switch name {
		case "Date", oncehttp.StatusHeader:
		default:
			if strings.Join(a.header[name], "|") != strings.Join(values, "|") {
				a.t.Errorf("replayed %s %q, want %q", name, a.header[name], values)
			}
		}
	}
}
