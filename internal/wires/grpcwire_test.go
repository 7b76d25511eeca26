package wires_test

import (
	"context"
	"maps"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	"github.com/onlyonce-go/onlyonce/interceptor"
	wiresv1 "github.com/onlyonce-go/onlyonce/internal/wires/proto/wires/v1"
)

func errForbidden() error { return status.Error(codes.PermissionDenied, "not yours any more") }

// texted is a message with a text.
type texted interface {
	proto.Message
	GetText() string
}

// messages returns the request of a call, and an empty response.
func messages(c call) (req proto.Message, resp texted) {
	switch c.operation() {
	case opPay:
		return &wiresv1.PayRequest{Text: c.text}, new(wiresv1.PayResponse)
	case opRefund:
		return &wiresv1.RefundRequest{Text: c.text}, new(wiresv1.RefundResponse)
	case opTransfer:
		return &wiresv1.TransferRequest{Text: c.text, RequestId: c.field, SentAt: c.sentAt}, new(wiresv1.TransferResponse)
	case opOrder:
		return &wiresv1.OrderRequest{Text: c.text, RequestId: c.field}, new(wiresv1.OrderResponse)
	case opBalance:
		return &wiresv1.BalanceRequest{Text: c.text}, new(wiresv1.BalanceResponse)
	default:
		return &wiresv1.WatchRequest{Text: c.text}, new(wiresv1.WatchResponse)
	}
}

// grpcService is the service of the wires that have the interfaces of grpc-go.
type grpcService struct {
	wiresv1.UnimplementedWireServiceServer

	srv *server
}

func (g *grpcService) Pay(ctx context.Context, req *wiresv1.PayRequest) (*wiresv1.PayResponse, error) {
	text, err := g.do(ctx, opPay, req.GetText())

	return &wiresv1.PayResponse{Text: text}, err
}

func (g *grpcService) Refund(ctx context.Context, req *wiresv1.RefundRequest) (*wiresv1.RefundResponse, error) {
	text, err := g.do(ctx, opRefund, req.GetText())

	return &wiresv1.RefundResponse{Text: text}, err
}

func (g *grpcService) Transfer(ctx context.Context, req *wiresv1.TransferRequest) (*wiresv1.TransferResponse, error) {
	text, err := g.do(ctx, opTransfer, req.GetText())

	return &wiresv1.TransferResponse{Text: text}, err
}

func (g *grpcService) Order(ctx context.Context, req *wiresv1.OrderRequest) (*wiresv1.OrderResponse, error) {
	text, err := g.do(ctx, opOrder, req.GetText())

	return &wiresv1.OrderResponse{Text: text}, err
}

func (g *grpcService) Balance(ctx context.Context, req *wiresv1.BalanceRequest) (*wiresv1.BalanceResponse, error) {
	text, err := g.do(ctx, opBalance, req.GetText())

	return &wiresv1.BalanceResponse{Text: text}, err
}

func (g *grpcService) Watch(req *wiresv1.WatchRequest, stream grpc.ServerStreamingServer[wiresv1.WatchResponse]) error {
	res := g.srv.handle(stream.Context(), request{opWatch, req.GetText()})

	return stream.Send(&wiresv1.WatchResponse{Text: res.text})
}

func (g *grpcService) do(ctx context.Context, o op, text string) (string, error) {
	res := g.srv.handle(ctx, request{o, text})

	if len(res.header) > 0 {
		if err := grpc.SetHeader(ctx, metadata.New(res.header)); err != nil {
			return "", err
		}
	}

	if len(res.trailer) > 0 {
		if err := grpc.SetTrailer(ctx, metadata.New(res.trailer)); err != nil {
			return "", err
		}
	}

	if res.code == codes.OK {
		return res.text, nil
	}

	return "", marked(res, status.FromProto(res.proto()).Err())
}

// proto is the error of a result as a status of gRPC.
func (r *result) proto() *spb.Status {
	st := &spb.Status{Code: int32(r.code), Message: r.message}
	for range r.details {
		st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.example/nobody.Knows", Value: []byte{8, 1}})
	}

	if r.passed {
		info, _ := anypb.New(&errdetails.ErrorInfo{Reason: string(onlyonce.ReasonKeyReused), Domain: interceptor.Domain})
		st.Details = append(st.Details, info)
	}

	return st
}

// marked adds the mark of the result to an error.
func marked(res result, err error) error {
	switch {
	case !res.marked:
		return err
	case res.class == onlyonce.ClassNotExecuted:
		return onlyonce.NotExecuted(err)
	default:
		return onlyonce.Final(err)
	}
}

// recovery is an interceptor that every server with panicking handlers has.
func recovery(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if recover() != nil {
			err = status.Error(codes.Internal, "the handler panicked")
		}
	}()

	return handler(ctx, req)
}

// serveGRPC serves the service on grpc-go behind its front, and returns its address.
func (s *server) serveGRPC(t *testing.T) string {
	t.Helper()

	made := newGRPCServer(t, s, s.front.unary)
	s.stop = made.Stop

	return serveGRPC(t, made, s.front.on(s.listen(t)))
}

// newGRPCServer is the service on grpc-go.
func newGRPCServer(t *testing.T, srv *server, outer ...grpc.UnaryServerInterceptor) *grpc.Server {
	t.Helper()

	scope, opts := srv.grpcOptions()

	protect, err := interceptor.NewServer(srv.engine, scope, opts...)
	if err != nil {
		t.Fatal(err)
	}

	options := []grpc.ServerOption{grpc.ChainUnaryInterceptor(append(outer, recovery)...)}
	if !srv.plain {
		options = append(options, grpc.ChainUnaryInterceptor(protect.Unary), grpc.ChainStreamInterceptor(protect.Stream))
	}

	s := grpc.NewServer(options...)
	wiresv1.RegisterWireServiceServer(s, &grpcService{srv: srv})

	return s
}

// listen opens a port that a test owns.
func listen(t *testing.T) net.Listener {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	return listener
}

// listen opens the port of the server.
func (s *server) listen(t *testing.T) net.Listener {
	t.Helper()

	if s.address == "" {
		return listen(t)
	}

	var listener net.Listener

	until(t, "the port of the server before", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", s.address)

		return err == nil
	})

	return listener
}

// serveGRPC serves a server of grpc-go, and returns its address.
func serveGRPC(t *testing.T, s *grpc.Server, listener net.Listener) string {
	t.Helper()

	served := make(chan error, 1)

	go func() { served <- s.Serve(listener) }()

	t.Cleanup(func() {
		s.Stop()

		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	return listener.Addr().String()
}

func startGRPC(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	return dialGRPC(t, srv.serveGRPC(t))
}

func startGRPCUnderHTTP(t *testing.T, srv *server) func(context.Context, call) answer {
	t.Helper()

	return dialGRPC(t, srv.serveHTTP(t, oncegateway.ServeGRPC(newGRPCServer(t, srv))))
}

// serveHTTP serves a handler over HTTP/1.1 and unencrypted HTTP/2, and returns its address.
func (s *server) serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)

	served := &http.Server{Handler: s.front.http(h), Protocols: protocols, ReadHeaderTimeout: time.Minute, ErrorLog: silent()}
	listener := s.listen(t)
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		_ = served.Serve(s.front.on(listener))
	}()

	s.stop = func() {
		_ = served.Close()
		<-ended
	}
	t.Cleanup(s.stop)

	return listener.Addr().String()
}

// dialGRPC is a grpc-go client without retries.
func dialGRPC(t *testing.T, addr string) func(context.Context, call) answer {
	t.Helper()

	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })

	return func(ctx context.Context, c call) answer {
		pairs := metadata.MD{}
		for name, value := range c.md {
			pairs.Set(name, value)
		}

		if c.keys != nil {
			pairs.Set("idempotency-key", c.keys...)
		}

		if c.caller != "" {
			pairs.Set(callerName, c.caller)
		}

		return invokeGRPC(metadata.NewOutgoingContext(ctx, pairs), conn, c)
	}
}

func invokeGRPC(ctx context.Context, conn *grpc.ClientConn, c call) answer {
	var header, trailer metadata.MD

	req, resp := messages(c)

	var err error

	if c.operation() == opWatch {
		header, trailer, err = invokeStream(ctx, conn, c, req, resp)
	} else {
		err = conn.Invoke(ctx, c.operation().fullMethod(), req, resp, grpc.Header(&header), grpc.Trailer(&trailer))
	}

	a := answer{ok: err == nil, text: resp.GetText(), header: lower(header), trailer: lower(trailer)}
	a.hasFrame = err != nil && len(header.Get("content-type")) > 0

	if err != nil {
		st := status.Convert(err)
		a.takeStatus(st.Proto())

		if st.Code() == codes.Unavailable && len(trailer) == 0 {
			a.broken = err
		}
	}

	if values := trailer.Get("grpc-retry-pushback-ms"); len(values) == 1 {
		millis, err := strconv.Atoi(values[0])
		if err == nil {
			a.asks("grpc-retry-pushback-ms", time.Duration(millis)*time.Millisecond)
		}
	}

	return a
}

func invokeStream(
	ctx context.Context, conn *grpc.ClientConn, c call, req proto.Message, resp texted,
) (header, trailer metadata.MD, err error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, c.operation().fullMethod())
	if err != nil {
		return nil, nil, err
	}

	if err := stream.SendMsg(req); err != nil {
		return nil, nil, err
	}

	if err := stream.CloseSend(); err != nil {
		return nil, nil, err
	}

	err = stream.RecvMsg(resp)
	if err == nil {
		_ = stream.RecvMsg(proto.Clone(resp)) // the end
	}

	header, _ = stream.Header()

	return header, stream.Trailer(), err
}

// takeStatus reads a status of gRPC.
func (a *answer) takeStatus(st *spb.Status) {
	a.code, a.message, a.details = codes.Code(st.GetCode()), st.GetMessage(), len(st.GetDetails())

	for _, detail := range st.GetDetails() {
		m, err := detail.UnmarshalNew()
		if err != nil {
			continue
		}

		a.takeDetail(m)
	}
}

func (a *answer) takeDetail(m proto.Message) {
	switch d := m.(type) {
	case *errdetails.ErrorInfo:
		a.reason, a.domain, a.facts = d.GetReason(), d.GetDomain(), maps.Clone(d.GetMetadata())
	case *errdetails.RetryInfo:
		a.asks("RetryInfo", d.GetRetryDelay().AsDuration())
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			a.field += v.GetField()
		}
	}
}

func (a *answer) asks(form string, d time.Duration) {
	if a.asked == nil {
		a.asked = make(map[string]delay)
	}

	a.asked[form] = d
}
