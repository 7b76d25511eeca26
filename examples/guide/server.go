package guide

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// Payments is a service with a recovery function.
type Payments interface {
	paymentsv1.PaymentServiceServer

	Recover(ctx context.Context, req proto.Message, rec onlyonce.Record) (onlyonce.Finding, error)
}

// Serve serves payments until ctx ends. It returns when all runs and goroutines have ended.
func Serve(
	ctx context.Context, listener net.Listener, db *sql.DB, dialect sqlstore.Dialect, scope interceptor.Scope, payments Payments,
) error {
	if err := sqlstore.Migrate(ctx, db, dialect); err != nil {
		return err
	}

	records, err := sqlstore.New(db, dialect)
	if err != nil {
		return err
	}

	engine, err := onlyonce.New(records, onlyonce.WithObserver(onlyonce.AttentionObserver(nil)))
	if err != nil {
		return err
	}

	server, err := newServer(engine, scope, payments)
	if err != nil {
		return err
	}

	// Two loops run beside the server, and stop after it.
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var running sync.WaitGroup

	running.Go(func() { report("sweep", records.Run(loops)) })                                    // deletes expired records
	running.Go(func() { report("reconcile", reconcile.Run(loops, engine, reconcile.Options{})) }) // calls Recover

	served := make(chan error, 1)
	running.Go(func() { served <- server.Serve(listener) })

	select {
	case <-ctx.Done(): // for example, on SIGTERM
	case err = <-served: // the listener failed
	}

	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()

	err = errors.Join(err, engine.Drain(grace)) // 1. no new keyed calls; runs end and write their outcomes

	server.GracefulStop() // 2. the other calls end
	stop()                // 3. the loops end
	running.Wait()

	return err
}

// newServer returns a gRPC server that protects payments.
func newServer(engine *onlyonce.Engine, scope interceptor.Scope, payments Payments) (*grpc.Server, error) {
	protect, err := interceptor.NewServer(engine, scope,
		interceptor.WithMethodPolicy(paymentsv1.PaymentService_Pay_FullMethodName, interceptor.Policy{
			Policy:  onlyonce.Policy{KeepRequest: 4 << 10}, // bytes, for Recover
			Recover: payments.Recover,
		}))
	if err != nil {
		return nil, err
	}

	server := grpc.NewServer(protect.ServerOptions()...)
	paymentsv1.RegisterPaymentServiceServer(server, payments)

	return server, protect.Validate(server)
}

func report(loop string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		slog.Error("a loop of the store has ended", "loop", loop, "error", err)
	}
}
