package interceptor_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const (
	unaryCall     = pb.TestService_UnaryCall_FullMethodName
	cacheableCall = pb.TestService_CacheableUnaryCall_FullMethodName
	emptyCall     = pb.TestService_EmptyCall_FullMethodName
	testService   = "grpc.testing.TestService"
)

type handlerFunc func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error)

// service counts the runs of its methods. Without a handler, it answers with the number of the run.
type service struct {
	pb.UnimplementedTestServiceServer

	runs   atomic.Int64
	handle handlerFunc
}

func (s *service) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	run := s.runs.Add(1)
	if s.handle != nil {
		return s.handle(ctx, req)
	}

	return &pb.SimpleResponse{Username: fmt.Sprintf("run %d", run)}, nil
}

func (s *service) CacheableUnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return s.UnaryCall(ctx, req)
}

func (s *service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	if _, err := s.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
		return nil, err
	}

	return &pb.Empty{}, nil
}

// setup describes a world. A zero field is left out or has the obvious default.
type setup struct {
	store  store.Store
	engine []onlyonce.Option
	scope  func() interceptor.Scope
	server []interceptor.ServerOption

	before, behind []grpc.UnaryServerInterceptor // around the interceptor
	unprotected    bool                          // there is no interceptor

	tcp                     bool
	serverCreds, clientCred credentials.TransportCredentials
	register                func(*grpc.Server)
	options                 []grpc.ServerOption
}

// world is a server with one connection to it, which has no client interceptor.
type world struct {
	*service

	engine   *onlyonce.Engine
	listener *listener
	creds    credentials.TransportCredentials
	conn     *grpc.ClientConn
}

// stage is a test with a world.
type stage struct {
	*testing.T
	*world
}

// policy sets the policy of all methods.
func policy(p onlyonce.Policy) []interceptor.ServerOption {
	return []interceptor.ServerOption{interceptor.WithPolicy(interceptor.Policy{Policy: p})}
}

func keyPolicy(p interceptor.Policy) []interceptor.ServerOption {
	return []interceptor.ServerOption{interceptor.WithPolicy(p)}
}

func start(t *testing.T, s setup, handle handlerFunc) *world {
	t.Helper()

	if s.store == nil {
		s.store = memstore.New()
	}

	if s.scope == nil {
		s.scope = interceptor.ScopeShared
	}

	engine, err := onlyonce.New(s.store, s.engine...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}

	chain := s.before

	var opts []grpc.ServerOption

	if !s.unprotected {
		protect, err := interceptor.NewServer(engine, s.scope(), s.server...)
		if err != nil {
			t.Fatalf("NewServer: %v", err)
		}

		chain = append(chain, protect.Unary)
		opts = append(opts, grpc.ChainStreamInterceptor(protect.Stream))
	}

	opts = append(opts, grpc.ChainUnaryInterceptor(append(chain, s.behind...)...), grpc.WaitForHandlers(true))
	opts = append(opts, s.options...)

	if s.serverCreds != nil {
		opts = append(opts, grpc.Creds(s.serverCreds))
	}

	w := &world{service: &service{handle: handle}, engine: engine, listener: listen(t, s.tcp), creds: s.clientCred}
	server := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(server, w.service)

	if s.register != nil {
		s.register(server)
	}

	go func() { _ = server.Serve(w.listener) }()

	t.Cleanup(func() {
		server.Stop()

		over, cancel := context.WithCancel(context.Background())
		cancel()

		_ = engine.Drain(over) // stops the settlements that a broken store never acknowledged
	})

	w.conn = w.dial(t)

	return w
}

// dial opens a connection with options of its own.
func (w *world) dial(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()

	creds := w.creds
	if creds == nil {
		creds = insecure.NewCredentials()
	}

	conn, err := grpc.NewClient("passthrough:///server.test", append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(w.listener.dial),
		grpc.WithStatsHandler(headerFrames{}),
	}, opts...)...)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}

	t.Cleanup(func() { conn.Close() })

	return conn
}

// client opens a connection with the client interceptor.
func (w *world) client(t *testing.T, opts ...interceptor.ClientOption) pb.TestServiceClient {
	t.Helper()

	return pb.NewTestServiceClient(w.clientConn(t, opts...))
}

func (w *world) clientConn(t *testing.T, opts ...interceptor.ClientOption) *grpc.ClientConn {
	t.Helper()

	dial, err := interceptor.DialOptions(append([]interceptor.ClientOption{interceptor.WithAllMethods()}, opts...)...)
	if err != nil {
		t.Fatalf("DialOptions: %v", err)
	}

	return w.dial(t, dial...)
}

func (w *world) mustHaveRun(t *testing.T, times int64) {
	t.Helper()

	if n := w.runs.Load(); n != times {
		t.Errorf("the handler ran %d times, want %d", n, times)
	}
}

// listener remembers its connections, so that they can be cut.
type listener struct {
	net.Listener

	dial func(ctx context.Context, _ string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
}

func listen(t *testing.T, tcp bool) *listener {
	t.Helper()

	if !tcp {
		buffer := bufconn.Listen(1 << 20)

		return &listener{Listener: buffer, dial: func(ctx context.Context, _ string) (net.Conn, error) { return buffer.DialContext(ctx) }}
	}

	var config net.ListenConfig

	socket, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}

	return &listener{Listener: socket, dial: func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", socket.Addr().String())
	}}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}

	return conn, err
}

// cut breaks all connections.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, conn := range l.conns {
		conn.Close()
	}

	l.conns = nil
}

// headerFrames records whether a call was answered with a header frame, which metadata alone does not show.
type headerFrames struct{}

type headerFramesKey struct{}

func (headerFrames) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (headerFrames) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (headerFrames) HandleConn(context.Context, stats.ConnStats)                       {}

func (headerFrames) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.InHeader); !ok {
		return
	}

	if seen, ok := ctx.Value(headerFramesKey{}).(*atomic.Bool); ok {
		seen.Store(true)
	}
}

// withKey puts a key into the metadata, as a client without this package would.
func withKey(ctx context.Context, keys ...string) context.Context {
	pairs := make([]string, 0, 2*len(keys))
	for _, key := range keys {
		pairs = append(pairs, interceptor.KeyHeader, key)
	}

	return appendMetadata(ctx, pairs...)
}

func payment() *pb.SimpleRequest {
	return &pb.SimpleRequest{ResponseSize: 10, Payload: &pb.Payload{Body: []byte("10 EUR to Ann")}}
}

// otherPayment is another request.
func otherPayment() *pb.SimpleRequest {
	return &pb.SimpleRequest{ResponseSize: 99, Payload: &pb.Payload{Body: []byte("99 EUR to Bob")}}
}

func after(d time.Duration, handle handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		time.Sleep(d)

		return handle(ctx, req)
	}
}

func answering(text string) handlerFunc {
	return func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		return &pb.SimpleResponse{Username: text}, nil
	}
}

func failing(err error) handlerFunc {
	return func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) { return nil, err }
}

func appendMetadata(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// validate makes a server interceptor, and validates a server with it.
func validate(server interceptor.ServiceInfoProvider, engine *onlyonce.Engine, opts ...interceptor.ServerOption) error {
	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared(), opts...)
	if err != nil {
		return err
	}

	return protect.Validate(server)
}

// local are the credentials of connections inside a test.
func local() credentials.TransportCredentials { return insecure.NewCredentials() }

// soon reconnects soon.
func soon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{
		BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond,
	}, MinConnectTimeout: time.Minute})
}
