package interceptortest

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
	"github.com/onlyonce-go/onlyonce/store"
)

// aWhile is longer than a lease and a run, and shorter than a retention.
const aWhile = 5 * time.Minute

// fault is one row of the table.
type fault struct {
	name string
	// around replaces the first run of the handler. Nil is a normal run.
	around func(s *scene, run func() (any, error)) (any, error)
	// play makes the first call and the duplicate. Nil makes one after the other.
	play func(s *scene) (first, duplicate FaultAnswer)
}

// allFaults returns the faults of the table, in its order.
func allFaults(injected []codes.Code) []fault {
	faults := make([]fault, 0, len(playedFaults())+len(injected))
	faults = append(faults, playedFaults()...)

	for _, code := range injected {
		faults = append(faults, fault{name: "handler error " + FaultAnswer{Code: code}.String(), around: failing(code)})
	}

	return faults
}

// playedFaults returns the faults whose handler returns OK.
func playedFaults() []fault {
	return []fault{
		{name: "none, duplicate after"},
		{name: "duplicate at once", around: pausing, play: (*scene).duplicateAtOnce},
		{name: "reply lost", play: (*scene).replyLost},
		{name: "caller gone in mid-handler", around: pausing, play: (*scene).callerGone},
		{name: "server dies in mid-handler", around: pausing, play: (*scene).serverDies},
		{name: "store down before", play: (*scene).storeDownBefore},
		{name: "store down at the end", around: storeGoesDown, play: (*scene).storeDownAtTheEnd},
		{name: "panic", around: panics},
	}
}

// scene is a server under a fault.
type scene struct {
	t       *testing.T
	subject *Subject
	fault   fault
	records store.Store
	key     string
	request proto.Message // the request of the subject, with the key of the scene in its key field

	ran      atomic.Int64
	effected atomic.Int64  // calls of the server's own handler
	resume   chan struct{} // closed when the paused run goes on
	first    *stand
}

// stand is a server with a connection to it.
type stand struct {
	store  faultyStore
	client *grpc.ClientConn
	line   *line
}

// examine makes the calls of a fault, and returns its row.
func (f fault) examine(t *testing.T, subject *Subject) FaultRow {
	t.Helper()

	s := &scene{t: t, subject: subject, fault: f, records: subject.NewStore(), key: onlyonce.NewKey(), resume: make(chan struct{})}
	s.request = keyed(subject.Request, s.key)

	before := s.effects()
	s.first = s.stand()

	play := f.play
	if play == nil {
		play = (*scene).inTurn
	}

	first, duplicate := play(s)

	time.Sleep(aWhile) // so that the background work ends

	row := FaultRow{Fault: f.name, First: first, Duplicate: duplicate, Ran: int(s.ran.Load()), Effects: s.effects() - before}
	row.Risk = riskOf(row.Effects, first, duplicate)

	return row
}

func (s *scene) effects() int {
	if s.subject.Effects == nil {
		return int(s.effected.Load())
	}

	return s.subject.Effects()
}

// keyed returns the request with another key, if its key field is filled. The key field must have the key of the metadata.
func keyed(request proto.Message, key string) proto.Message {
	fields := request.ProtoReflect().Descriptor().Fields()

	for i := range fields.Len() {
		field := fields.Get(i)
		mark, _ := proto.GetExtension(field.Options(), onlyoncev1.E_Field).(*onlyoncev1.Field)

		if mark.GetKey() && field.Kind() == protoreflect.StringKind && request.ProtoReflect().Has(field) {
			request = proto.Clone(request)
			request.ProtoReflect().Set(field, protoreflect.ValueOfString(key))
		}
	}

	return request
}

// stand makes a server on the store, and a client of it.
func (s *scene) stand() *stand {
	s.t.Helper()

	at := &stand{store: newFaultyStore(s.records)}

	server, err := s.subject.NewServer(Around{Store: at.store, First: recovering, Last: s.last})
	if err != nil {
		s.t.Fatalf("interceptortest: making the server: %v", err)
	}

	buffer := bufconn.Listen(1 << 20)
	at.line = &line{Listener: buffer}

	go func() { _ = server.Serve(at.line) }()

	s.t.Cleanup(func() {
		server.Stop()
		synctest.Wait()
	})

	own, err := interceptor.DialOptions(interceptor.WithMethods(s.subject.Method))
	if err != nil {
		s.t.Fatalf("interceptortest: making the client interceptor: %v", err)
	}

	opts := slices.Concat(
		[]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, s.subject.Caller.Dial, own,
		[]grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return buffer.DialContext(ctx) })},
	)

	at.client, err = grpc.NewClient("passthrough:///localhost", opts...)
	if err != nil {
		s.t.Fatalf("interceptortest: connecting: %v", err)
	}

	s.t.Cleanup(func() { _ = at.client.Close() })

	return at
}

// last is the interceptor behind all others. It counts the runs, and injects the fault into the first run.
func (s *scene) last(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if info.FullMethod != s.subject.Method {
		return handler(ctx, req)
	}

	run := func() (any, error) {
		s.effected.Add(1)

		return handler(ctx, req)
	}

	if s.ran.Add(1) > 1 || s.fault.around == nil {
		return run()
	}

	return s.fault.around(s, run)
}

// call makes a call once. The duplicate plays the part of a retry.
func (s *scene) call(ctx context.Context, at *stand) FaultAnswer {
	var trailer metadata.MD

	resp := proto.Clone(s.subject.Response)
	ctx = metadata.NewOutgoingContext(ctx, s.subject.Caller.Metadata)
	err := at.client.Invoke(ctx, s.subject.Method, s.request, resp,
		interceptor.WithKey(s.key), interceptor.WithoutRetry(), grpc.Trailer(&trailer))

	return faultAnswerOf(trailer, err)
}

// background begins a call, and sends its answer to a channel.
func (s *scene) background(ctx context.Context, at *stand) <-chan FaultAnswer {
	got := make(chan FaultAnswer, 1)

	go func() { got <- s.call(ctx, at) }()

	synctest.Wait()

	return got
}

func (s *scene) inTurn() (first, duplicate FaultAnswer) {
	first = s.call(s.t.Context(), s.first)
	synctest.Wait()

	return first, s.call(s.t.Context(), s.first)
}

func (s *scene) duplicateAtOnce() (first, duplicate FaultAnswer) {
	one := s.background(s.t.Context(), s.first)
	other := s.background(s.t.Context(), s.first)

	close(s.resume)

	return <-one, <-other
}

func (s *scene) replyLost() (first, duplicate FaultAnswer) {
	_ = s.first.client.Invoke(s.t.Context(), "/none/None", s.subject.Request, proto.Clone(s.subject.Response)) // it connects
	s.first.line.mute()

	one := s.background(s.t.Context(), s.first)

	s.first.line.cut()

	return <-one, s.call(s.t.Context(), s.first)
}

func (s *scene) callerGone() (first, duplicate FaultAnswer) {
	ctx, cancel := context.WithCancel(s.t.Context())
	one := s.background(ctx, s.first)

	cancel()
	synctest.Wait()
	close(s.resume)
	synctest.Wait()

	return <-one, s.call(s.t.Context(), s.first)
}

func (s *scene) serverDies() (first, duplicate FaultAnswer) {
	one := s.background(s.t.Context(), s.first)

	s.first.store.die()
	s.first.line.cut()
	first = <-one

	time.Sleep(aWhile) // the lease ends

	duplicate = s.call(s.t.Context(), s.stand())

	close(s.resume)
	time.Sleep(time.Minute)
	s.first.store.down.Store(false) // its late writes are fenced

	return first, duplicate
}

func (s *scene) storeDownBefore() (first, duplicate FaultAnswer) {
	s.first.store.down.Store(true)
	first = s.call(s.t.Context(), s.first)
	s.first.store.down.Store(false)
	time.Sleep(aWhile)

	return first, s.call(s.t.Context(), s.first)
}

func (s *scene) storeDownAtTheEnd() (first, duplicate FaultAnswer) {
	first = s.call(s.t.Context(), s.first)
	s.first.store.down.Store(false)
	time.Sleep(aWhile)

	return first, s.call(s.t.Context(), s.first)
}

// pausing runs the handler, and returns when the scene goes on.
func pausing(s *scene, run func() (any, error)) (any, error) {
	resp, err := run()

	<-s.resume

	return resp, err
}

func storeGoesDown(s *scene, run func() (any, error)) (any, error) {
	resp, err := run()

	s.first.store.down.Store(true)

	return resp, err
}

func panics(_ *scene, run func() (any, error)) (any, error) {
	_, _ = run()

	panic("interceptortest: the handler panics")
}

// failing returns an error with a code: instead of the run if the code is definite, and otherwise after the run.
func failing(code codes.Code) func(*scene, func() (any, error)) (any, error) {
	return func(_ *scene, run func() (any, error)) (any, error) {
		if !definite(code) {
			_, _ = run()
		}

		return nil, status.Error(code, "interceptortest: the handler fails")
	}
}

// definite reports whether a code is definite by default.
func definite(code codes.Code) bool {
	return slices.Contains([]codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange, codes.PermissionDenied,
		codes.Unauthenticated,
	}, code)
}

func faultAnswerOf(trailer metadata.MD, err error) FaultAnswer {
	a := FaultAnswer{Code: status.Code(err), Verdict: onlyonce.VerdictOf(err)}
	if values := trailer.Get(interceptor.StatusTrailer); len(values) > 0 {
		a.Status = onlyonce.Status(values[0])
	}

	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "onlyonce" {
			a.Reason = onlyonce.Reason(info.GetReason())
		}
	}

	return a
}

// recovering is the interceptor in front of all others.
func recovering(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
	defer func() {
		if recover() != nil {
			err = status.Error(codes.Internal, "interceptortest: the handler has panicked")
		}
	}()

	return handler(ctx, req)
}

// line is the network between client and server.
type line struct {
	net.Listener

	mu    sync.Mutex
	muted bool
	conns []net.Conn
}

// Accept implements [net.Listener].
func (l *line) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.conns = append(l.conns, conn)

	return &lineConn{conn, l}, nil
}

// mute drops the bytes that the server writes from now on.
func (l *line) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.muted = true
}

// cut breaks all connections. New ones work.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, conn := range l.conns {
		_ = conn.Close()
	}

	l.conns, l.muted = nil, false
}

// lineConn is the server's end of a connection.
type lineConn struct {
	net.Conn

	line *line
}

// Write implements [net.Conn].
func (c *lineConn) Write(data []byte) (int, error) {
	c.line.mu.Lock()
	muted := c.line.muted
	c.line.mu.Unlock()

	if muted {
		return len(data), nil
	}

	return c.Conn.Write(data)
}
