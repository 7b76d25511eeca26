package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
)

// stage is the set-up of a trial: servers, a faulty network in front of each, and a ledger behind them.
type stage interface {
	// networks are what clients connect to.
	networks() []*faultynet.Proxy
	// strike kills a server while calls are in flight, and starts it again. It returns the number of killed servers. It kills none if paying
	// ends before, because all calls have ended. It calls held when it needs no further call.
	strike(ctx, paying context.Context, held func()) (int, error)
	// settle ends networks and servers after the last call has ended and no outcome is unknown. It returns the number of outcomes that
	// reconcilers have settled.
	settle(ctx context.Context) (int, error)
	// charges returns the number of charges of an order. Call it after settle.
	charges(ctx context.Context, orderID string) (int, error)
	// close ends everything that still runs.
	close()
}

// local is a stage in this process.
type local struct {
	book    *ledger.Ledger
	engine  *onlyonce.Engine // nil in plain mode
	server  *grpc.Server
	network *faultynet.Proxy
	served  chan error
}

func (d *demo) openLocal(m mode) (stage, error) {
	s := &local{book: ledger.New(), served: make(chan error, 1)}

	var err error

	if m == modeOnlyonce {
		var opts []onlyonce.Option
		if d.metrics != nil {
			opts = append(opts, onlyonce.WithObserver(d.metrics.Observer(onlyonce.AttentionObserver(nil))))
		}

		if s.engine, err = onlyonce.New(d.records, opts...); err != nil {
			return nil, err // names the problem
		}

		if err := d.metrics.watch(s.engine); err != nil {
			return nil, err
		}
	}

	if s.server, err = newServer(s.engine, oneParty(), ledger.NewService(s.book, d.work)); err != nil {
		return nil, err
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	go func() { s.served <- s.server.Serve(listener) }()

	if s.network, err = faultynet.Listen(listener.Addr().String(), d.faults, d.seed); err != nil {
		s.server.Stop()

		return nil, err
	}

	return s, nil
}

func (s *local) networks() []*faultynet.Proxy { return []*faultynet.Proxy{s.network} }

// strike does nothing: a store in memory would die with its server.
func (s *local) strike(context.Context, context.Context, func()) (int, error) { return 0, nil }

func (s *local) settle(ctx context.Context) (int, error) {
	if err := s.network.Close(); err != nil {
		return 0, err
	}

	s.server.GracefulStop()

	if err := <-s.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return 0, fmt.Errorf("serving: %w", err)
	}

	if s.engine == nil {
		return 0, nil
	}

	return 0, s.engine.Drain(ctx) // names the problem
}

func (s *local) charges(_ context.Context, orderID string) (int, error) {
	return len(s.book.Payments(orderID)), nil
}

func (s *local) close() {
	_ = s.network.Close() // already closed if all went well
	s.server.Stop()
}
