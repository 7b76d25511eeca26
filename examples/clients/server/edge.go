package server

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	chargesv1 "github.com/onlyonce-go/onlyonce/examples/clients/proto/charges/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// edge simulates the network and the servers in front of the kit, for the test cards.
type edge struct {
	connections *listener
	duplicates  *signals
	cut         sync.Map // orders whose first answer was lost
}

func (e *edge) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	charge, ok := req.(*chargesv1.ChargeRequest)
	if !ok {
		return handler(ctx, req)
	}

	if charge.GetCard() == CardBrief {
		if err := grpc.SetTrailer(ctx, metadata.Pairs(interceptor.StatusTrailer, "released", interceptor.RetentionTrailer, "1")); err != nil {
			return nil, err
		}

		return nil, status.Error(codes.Unavailable, "the bank has no time")
	}

	resp, err := handler(ctx, req)

	switch charge.GetCard() {
	case CardSlow:
		if status.Code(err) == codes.Unavailable {
			e.duplicates.give(charge.GetOrder())
		}
	case CardCut:
		if _, again := e.cut.LoadOrStore(charge.GetOrder(), true); !again {
			e.connections.cut(ctx)
		}
	}

	return resp, err
}

// signals are one-time events, by name.
type signals struct {
	mu     sync.Mutex
	events map[string]chan struct{}
}

func newSignals() *signals { return &signals{events: make(map[string]chan struct{})} }

// of returns a channel that is closed when the event has happened.
func (s *signals) of(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.event(name)
}

func (s *signals) event(name string) chan struct{} {
	if s.events[name] == nil {
		s.events[name] = make(chan struct{})
	}

	return s.events[name]
}

func (s *signals) give(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	select {
	case <-s.event(name):
	default:
		close(s.event(name))
	}
}

// listener tracks its connections, so that a connection can be cut.
type listener struct {
	net.Listener

	connections sync.Map // net.Conn, by the address of the client
}

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.connections.Store(connection.RemoteAddr().String(), connection)
	}

	return connection, err
}

// cut closes the connection of a call.
func (l *listener) cut(ctx context.Context) {
	client, _ := peer.FromContext(ctx)

	connection, ok := l.connections.LoadAndDelete(client.Addr.String())
	if !ok {
		return
	}

	_ = connection.(net.Conn).Close() //nolint:forcetypeassert,errcheck // Accept has stored it, and the client notices that it is gone
}
