package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const (
	unaryCall   = testing.TestService_UnaryCall_FullMethodName
	payloadSize = 256
)

// service is the called service: it answers with a payload of the size of the request's.
type service struct {
	testing.UnimplementedTestServiceServer

	// fail returns the error of a call, or nil. It may be nil.
	fail func() error
}

func (s *service) UnaryCall(_ context.Context, req *testing.SimpleRequest) (*testing.SimpleResponse, error) {
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return nil, err
		}
	}

	return &testing.SimpleResponse{Payload: &testing.Payload{Body: req.GetPayload().GetBody()}}, nil
}

func newRequest() *testing.SimpleRequest {
	return &testing.SimpleRequest{ResponseSize: payloadSize, Payload: &testing.Payload{Body: make([]byte, payloadSize)}}
}

// newKey returns a key of 35 bytes.
func newKey(n int) string { return fmt.Sprintf("order-%029d", n) }

// unbounded is a store for any number of records.
func unbounded() *memstore.Store {
	return memstore.New(memstore.WithMaxRecords(1<<40), memstore.WithMaxBytes(1<<50))
}

// protectedServer is the option that puts onlyonce, on a store of its own, in front of a server.
func protectedServer() (grpc.ServerOption, error) {
	intercept, err := protect(unbounded())
	if err != nil {
		return nil, err
	}

	return grpc.ChainUnaryInterceptor(intercept), nil
}

// loopback is a server on this machine's loopback interface, in this process or not, and its clients.
type loopback struct {
	server *grpc.Server
	addr   string
	conns  []*grpc.ClientConn
}

func listen(ctx context.Context, svc testing.TestServiceServer, opts ...grpc.ServerOption) (*loopback, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	l := &loopback{server: grpc.NewServer(opts...), addr: listener.Addr().String()}
	testing.RegisterTestServiceServer(l.server, svc)

	go l.server.Serve(listener) //nolint:errcheck // it ends with stop

	return l, nil
}

func (l *loopback) dial(opts ...grpc.DialOption) (testing.TestServiceClient, error) {
	conn, err := grpc.NewClient(l.addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, err
	}

	l.conns = append(l.conns, conn)

	return testing.NewTestServiceClient(conn), nil
}

func (l *loopback) hangUp() {
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

func (l *loopback) stop() {
	l.hangUp()
	l.server.Stop()
}
