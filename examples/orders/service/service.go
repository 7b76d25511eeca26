// Package service is what every service of the example has around its handlers: a database of its own, the kit, connections to other
// services, and a trace of its calls.
package service

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/internal/child"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The names of the services.
const (
	Gateway   = "gateway"
	Orders    = "orders"
	Payments  = "payments"
	Inventory = "inventory"
)

// Config is what a service is told when it starts.
type Config struct {
	// Name is which service it is.
	Name string `json:"name"`
	// Database is its own.
	Database Database `json:"database"`
	// Without the kit nobody looks for duplicates.
	Without bool `json:"without,omitempty"`
	// Others are the addresses of the services that it calls, by name.
	Others map[string]string `json:"others,omitempty"`
	// Trace is the file that its calls are written to.
	Trace string `json:"trace"`
	// Lease is how long the claim of a process that was killed is respected.
	Lease time.Duration `json:"lease"`
	// ParkAt is the hook at which a run stops for ever; none where it is empty.
	ParkAt string `json:"parkAt,omitempty"`
	// CentsPerPiece is what everything costs.
	CentsPerPiece int64 `json:"centsPerPiece"`
}

// Service is a service under construction.
type Service struct {
	Config

	// DB is for transactions of the handlers' own.
	DB *sql.DB
	// Server is where handlers are registered.
	Server *grpc.Server

	engine  *onlyonce.Engine    // nil without the kit
	protect *interceptor.Server // nil without the kit
	trace   *Trace
	stdout  io.Writer
	close   []func() error
}

// Definition is what differs between services.
type Definition struct {
	// Tables are the statements that make its tables, where there are none.
	Tables []string
	// Calls are the methods of other services that its handlers call: their records have to live as long as its own.
	Calls []string
	// Register registers its handlers.
	Register func(s *Service) error
}

func (d *Definition) options() []interceptor.ServerOption {
	if len(d.Calls) == 0 {
		return nil
	}

	return []interceptor.ServerOption{interceptor.WithDownstream(0, d.Calls...)} // for as long as their .proto says
}

// Run runs a service until ctx ends. It says on stdout where it listens.
func Run(ctx context.Context, config *Config, definition Definition, stdout, stderr io.Writer) (err error) {
	s := &Service{Config: *config, stdout: stdout}
	defer func() { err = errors.Join(err, s.closeAll()) }()

	if s.trace, err = OpenTrace(config.Name, config.Trace); err != nil {
		return err
	}

	s.close = append(s.close, s.trace.Close)

	if err := s.open(ctx, &definition, stderr); err != nil {
		return err
	}

	if err := definition.Register(s); err != nil {
		return err
	}

	if s.protect != nil {
		if err := s.protect.Validate(s.Server); err != nil { //nolint:contextcheck // it takes none
			return err // it says what is wrong, and where
		}
	}

	listener, err := child.Announce(stdout)
	if err != nil {
		return err
	}

	stopped := make(chan error, 1)

	go func() {
		<-ctx.Done()

		stopped <- s.stop(ctx)
	}()

	// A server that is told to stop before it serves has nothing to end.
	if err := s.Server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}

	return <-stopped
}

// open opens the database, and makes the server.
func (s *Service) open(ctx context.Context, definition *Definition, stderr io.Writer) (err error) {
	if s.DB, err = s.Database.open(patient); err != nil {
		return err
	}

	s.close = append(s.close, s.DB.Close)

	for _, table := range definition.Tables {
		if _, err := s.DB.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("making the tables: %w", err)
		}
	}

	if s.Without {
		s.Server = grpc.NewServer()

		return nil
	}

	records, err := s.openStore(ctx)
	if err != nil {
		return err
	}

	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	log := onlyonce.SlogObserver(logger)

	// What a service promises its callers is in its .proto. How soon it is given up on is its operator's choice.
	s.engine, err = onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Lease: s.Lease, MaxRun: 10 * time.Second}),
		onlyonce.WithObserver(onlyonce.ObserverFunc(func(ctx context.Context, e onlyonce.Event) {
			s.trace.event(&e)
			log.Observe(ctx, e)
		})))
	if err != nil {
		return err // it says what is wrong
	}

	// All callers of this example are one party. A real service tells them apart, with ScopeFromPeerURI say.
	s.protect, err = interceptor.NewServer(s.engine, interceptor.ScopeShared(), definition.options()...)
	if err != nil {
		return err // it says what is wrong
	}

	s.Server = grpc.NewServer(s.protect.ServerOptions()...)

	return nil
}

// openStore opens the store of records, in the same database as everything else and on connections of its own.
func (s *Service) openStore(ctx context.Context) (*sqlstore.Store, error) {
	db, err := s.Database.open(impatient)
	if err != nil {
		return nil, err
	}

	s.close = append(s.close, db.Close)
	dialect := s.Database.dialect()

	if err := sqlstore.Migrate(ctx, db, dialect); err != nil {
		return nil, err // it says what is wrong
	}

	records, err := sqlstore.New(db, dialect) //nolint:contextcheck // it bounds its look at the database by itself
	if err != nil {
		return nil, err // it says what is wrong
	}

	s.sweep(ctx, records)

	return records, nil
}

// sweep deletes expired records until the service is closed. Orders work without it, and the table grows: its error is returned when the
// service is closed.
func (s *Service) sweep(ctx context.Context, records *sqlstore.Store) {
	ctx, stop := context.WithCancel(ctx)

	var (
		sweeping sync.WaitGroup
		err      error
	)

	sweeping.Go(func() { err = records.Run(ctx) })
	s.close = append(s.close, func() error {
		stop()
		sweeping.Wait()

		return err
	})
}

// stop lets what runs come to its end.
func (s *Service) stop(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), child.StopTime/2) // half
	defer cancel()

	var err error
	if s.protect != nil {
		err = s.engine.Drain(bounded)
	}

	s.Server.GracefulStop()

	return err
}

func (s *Service) closeAll() error {
	var errs []error
	for _, closeIt := range slices.Backward(s.close) {
		errs = append(errs, closeIt())
	}

	return errors.Join(errs...)
}

// InTx runs a function in the transaction that the kit has begun for the call; without the kit, in one of its own.
func (s *Service) InTx(ctx context.Context, fn func(tx sqlstore.DBTX) error) error {
	if !s.Without {
		return fn(sqlstore.Tx(ctx))
	}

	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // fails where it has committed

	if err := fn(tx); err != nil {
		return err
	}

	return tx.Commit()
}

// Joining returns the context for sqlstore.InTx, which joins the run of the call. Without the kit there is no run.
func (s *Service) Joining(ctx context.Context) context.Context {
	if s.Without {
		return sqlstore.OptionalRun(ctx)
	}

	return ctx
}

// The hooks of a handler that calls others.
const (
	HookClaimed   = "claimed"   // before it has done anything
	HookCharged   = "charged"   // after the payment
	HookWithdrawn = "withdrawn" // after the stock has moved
	HookCommitted = "committed" // after its own commit, before the reply
)

// At is called by a handler at its hooks. A test may have it stop there, to kill the process.
func (s *Service) At(hook string) {
	if hook != s.ParkAt {
		return
	}

	_, _ = fmt.Fprintln(s.stdout, "parked") // to be killed

	select {}
}
