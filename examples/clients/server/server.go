// Package server is the charge service that the example clients call. Its cards cause the failures that a client must handle.
package server

import (
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	chargesv1 "github.com/onlyonce-go/onlyonce/examples/clients/proto/charges/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Kit reports whether a server has the interceptor.
type Kit bool

// The kinds of servers.
const (
	WithKit    Kit = true
	WithoutKit Kit = false
)

// Server is a charge service.
type Server struct {
	grpc     *grpc.Server
	listener *listener
	served   chan error
}

// Start starts a server on addr, such as "127.0.0.1:0", with records in memory.
func Start(addr string, kit Kit) (*Server, error) {
	inner, err := net.Listen("tcp", addr) //nolint:noctx // it returns at once
	if err != nil {
		return nil, err
	}

	s := &Server{listener: &listener{Listener: inner}, served: make(chan error, 1)}

	edge := &edge{connections: s.listener, duplicates: newSignals()}
	chain := []grpc.UnaryServerInterceptor{edge.intercept}

	var protect *interceptor.Server

	if kit {
		if protect, err = newProtection(); err != nil {
			return nil, errors.Join(err, inner.Close())
		}

		chain = append(chain, protect.Unary)
	}

	s.grpc = grpc.NewServer(grpc.ChainUnaryInterceptor(chain...))
	chargesv1.RegisterChargeServiceServer(s.grpc, &charges{duplicates: edge.duplicates, receipts: make(map[string][]string)})

	if kit {
		if err := protect.Validate(s.grpc); err != nil {
			return nil, errors.Join(err, inner.Close())
		}
	}

	go func() { s.served <- s.grpc.Serve(s.listener) }()

	return s, nil
}

// Addr returns the host and port of the server.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop ends all calls and the server.
func (s *Server) Stop() error {
	s.grpc.Stop()

	if err := <-s.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving charges: %w", err)
	}

	return nil
}

func newProtection() (*interceptor.Server, error) {
	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		return nil, err
	}

	// All callers of this example share one scope. A real server has a scope for each caller.
	return interceptor.NewServer(engine, interceptor.ScopeShared())
}
