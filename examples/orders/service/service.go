// Package service is the common part of all services of the example: a database, the kit, connections to other services, and a trace of
// calls.
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

// Config is the configuration of a service.
type Config struct {
	// Name is the name of the service.
	Name string `json:"name"`
	// Database is the database of this service alone.
	Database Database `json:"database"`
	// Without turns the kit off: duplicates run again.
	Without bool `json:"without,omitempty"`
	// Others are the addresses of called services, by name.
	Others map[string]string `json:"others,omitempty"`
	// Trace is the file for the trace of calls.
	Trace string `json:"trace"`
	// Lease is the lease of runs. After it, another process takes over the calls of a killed process.
	Lease time.Duration `json:"lease"`
	// ParkAt is the hook at which a run stops for ever. Empty means none.
	ParkAt string `json:"parkAt,omitempty"`
	// CentsPerPiece is the price of every item.
	CentsPerPiece int64 `json:"centsPerPiece"`
}

// Service is a service under construction.
type Service struct {
	Config

	// DB is for the handlers' own transactions.
	DB *sql.DB
	// Server is where handlers are registered.
	Server *grpc.Server

	engine  *onlyonce.Engine    // nil without the kit
	protect *interceptor.Server // nil without the kit
	trace   *Trace
	stdout  io.Writer
	close   []func() error
}

// Definition is the specific part of a service.
type Definition struct {
	// Tables are the statements that create missing tables.
	Tables []string
	// Calls are the called methods of other services. Their records must live as long as the records of this service.
	Calls []string
	// Register registers its handlers.
	Register func(s *Service) error
}

func (d *Definition) options() []interceptor.ServerOption {
	if len(d.Calls) == 0 {
		return nil
	}

	return []interceptor.ServerOption{interceptor.WithDownstream(0, d.Calls...)} // for the retention in their .proto
}

// Run runs a service until ctx ends. It prints its address on stdout.
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
			return err // names the problem and its place
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

	// A server that is stopped before it serves has nothing to end.
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

	// The .proto has the promises to the callers. The operator chooses the lease.
	s.engine, err = onlyonce.New(records, onlyonce.WithPolicy(onlyonce.Policy{Lease: s.Lease, MaxRun: 10 * time.Second}),
		onlyonce.WithObserver(onlyonce.ObserverFunc(func(ctx context.Context, e onlyonce.Event) {
			s.trace.event(&e)
			log.Observe(ctx, e)
		})))
	if err != nil {
		return err // names the problem
	}

	// All callers of this example share one scope. A real service separates its callers, for example with ScopeFromPeerURI.
	s.protect, err = interceptor.NewServer(s.engine, interceptor.ScopeShared(), definition.options()...)
	if err != nil {
		return err // names the problem
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
		return nil, err // names the problem
	}

	records, err := sqlstore.New(db, dialect) //nolint:contextcheck // it bounds its check of the database itself
	if err != nil {
		return nil, err // names the problem
	}

	s.sweep(ctx, records)

	return records, nil
}

// sweep deletes expired records until the service is closed. Without it orders still work, but the table grows. Closing the service returns
// its error.
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

// stop waits for running calls to end.
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

// InTx runs a function in the transaction that the kit has begun for the call, or in a new transaction without the kit.
func (s *Service) InTx(ctx context.Context, fn func(tx sqlstore.DBTX) error) error {
	if !s.Without {
		return fn(sqlstore.Tx(ctx))
	}

	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // fails after the commit

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
	HookClaimed   = "claimed"   // before any effect
	HookCharged   = "charged"   // after the payment
	HookWithdrawn = "withdrawn" // after the stock has moved
	HookCommitted = "committed" // after its own commit, before the reply
)

// At marks a hook in a handler. A test may stop the run there to kill the process.
func (s *Service) At(hook string) {
	if hook != s.ParkAt {
		return
	}

	_, _ = fmt.Fprintln(s.stdout, "parked") // to be killed

	select {}
}
