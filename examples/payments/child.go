package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// childName is the command that runs a ledger, a server or a reconciler as a process of the demo.
const childName = "child"

// childConfig is the first line of a child's standard input. Later lines are requests: "stop" stops the child, "hold" makes a server keep
// its next payments uncommitted, "sweep" and "finish" are for a reconciler. The child ends when the input ends, because the demo has gone.
// It writes to its standard output the address on which it listens, and a line when it holds a payment.
type childConfig struct {
	// Ledger is the address of the ledger. Database is the URL of a database that has the payments instead, and Run separates those of
	// this demo. Without both, the child is the ledger.
	Ledger   string `json:"ledger,omitempty"`
	Database string `json:"database,omitempty"`
	Run      string `json:"run,omitempty"`
	// Work is how long the ledger takes for a charge.
	Work time.Duration `json:"work,omitempty"`
	// Unknown makes a server of the demo of unknown outcomes. Hangs makes its payments hang until the server is killed.
	Unknown bool `json:"unknown,omitempty"`
	Hangs   bool `json:"hangs,omitempty"`
	// Reconciles makes a child that settles unknown outcomes and serves no calls.
	Reconciles bool `json:"reconciles,omitempty"`
	// Store is the URL of a server's records, and Prefix separates those of this demo. Without a store, the server has no onlyonce.
	Store  string `json:"store,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// Metrics is the address of a server's metrics; empty means none. Name is the name of the server there.
	Metrics string `json:"metrics,omitempty"`
	Name    string `json:"name,omitempty"`
}

// sharedPolicy is the policy of servers that are processes. A killed server may have been at work for MaxRun and one lease, so an order
// without a charge stays unknown for that time. A service would give its runs more time.
func sharedPolicy() onlyonce.Policy {
	return onlyonce.Policy{
		Lease:     time.Second,
		MaxRun:    2 * time.Second,
		Retention: 10 * time.Minute, // longer than any client retries here
	}
}

// sharedOptions returns the options of a store whose records expire soon, even if the demo is interrupted. The reconcilers need the index.
func sharedOptions(prefix string) []redisstore.Option {
	return []redisstore.Option{
		redisstore.WithPrefix(prefix),
		redisstore.WithUnknownRetention(time.Hour), // the least that it accepts
	}
}

func childCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments "+childName, flag.ContinueOnError)
	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	input := bufio.NewReader(os.Stdin)

	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the configuration: %w (only the demo starts this command)", err)
	}

	var config childConfig
	if err := json.Unmarshal(line, &config); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}

	// The demo handles Ctrl-C.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	asked := reconciling{sweep: make(chan struct{}), finish: make(chan struct{})}
	held := &hold{wanted: make(chan struct{}), say: func() { _, _ = fmt.Fprintln(stdout, sayHeld) }}

	go func() {
		obey(input, map[string]func(){
			askStop: stop, askHold: sync.OnceFunc(func() { close(held.wanted) }),
			askSweep: func() { asked.sweep <- struct{}{} }, askFinish: sync.OnceFunc(func() { close(asked.finish) }),
		})

		os.Exit(1) // the demo has gone
	}()

	switch {
	case config.Unknown:
		return runUnknown(ctx, &config, stdout)
	case config.Reconciles:
		return runReconciler(ctx, &config, asked, stdout)
	case config.Database != "":
		return runTill(ctx, &config, held, stdout)
	case config.Ledger != "":
		return runServer(ctx, &config, stdout)
	default:
		return runLedger(ctx, &config, stdout)
	}
}

// The requests to a child, and its answers.
const (
	askStop   = "stop"
	askHold   = "hold"
	askSweep  = "sweep"
	askFinish = "finish"
	sayHeld   = "held"
)

// obey carries out the requests in the input until it ends.
func obey(input io.Reader, orders map[string]func()) {
	for lines := bufio.NewScanner(input); lines.Scan(); {
		if order, ok := orders[lines.Text()]; ok {
			order()
		}
	}
}

func runLedger(ctx context.Context, config *childConfig, stdout io.Writer) error {
	return serveChild(ctx, stdout, nil, oneParty(), ledger.NewService(ledger.New(), config.Work))
}

// runServer serves payments that are charged by the ledger.
func runServer(ctx context.Context, config *childConfig, stdout io.Writer) error {
	provider, closeProvider, err := dialProvider(config.Ledger)
	if err != nil {
		return err
	}
	defer closeProvider()

	service := &desk{provider: provider}
	if config.Store == "" {
		return serveChild(ctx, stdout, nil, oneParty(), service)
	}

	exported, err := exportMetrics(ctx, config.Metrics, config.Name, os.Stderr)
	if err != nil {
		return err
	}
	defer exported.close()

	opts := sharedOptions(config.Prefix)
	if exported != nil {
		opts = append(opts, redisstore.WithObserver(exported.StoreObserver("redis")))
	}

	records, closeStore, err := openStore(config.Store, opts...) //nolint:contextcheck // see there
	if err != nil {
		return err
	}
	defer closeStore()

	policy := sharedPolicy()
	policy.KeepRequest = keptRequest

	engine, err := newEngine(records, policy, exported)
	if err != nil {
		return err
	}

	return serveChild(ctx, stdout, engine, oneParty(), service)
}

// runTill serves payments that are in the database of the records.
func runTill(ctx context.Context, config *childConfig, held *hold, stdout io.Writer) error {
	protected := config.Store != ""

	db, err := openDatabase(config.Database, !protected)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // there is nothing left to lose

	service := &till{database: db, run: config.Run, plain: !protected, written: held.here}
	if !protected {
		return serveChild(ctx, stdout, nil, named(config.Run), service)
	}

	exported, err := exportMetrics(ctx, config.Metrics, config.Name, os.Stderr)
	if err != nil {
		return err
	}
	defer exported.close()

	records, err := db.records() //nolint:contextcheck // see openStore
	if err != nil {
		return err
	}

	engine, err := newEngine(records, sharedPolicy(), exported)
	if err != nil {
		return err
	}

	var sweeping sync.WaitGroup
	defer sweeping.Wait()

	ctx, stop := context.WithCancel(ctx)
	defer stop()

	sweeping.Go(func() { sweep(ctx, records) })

	return serveChild(ctx, stdout, engine, named(config.Run), service, exactlyOnce())
}

// newEngine returns the engine of a server, which exports its metrics.
func newEngine(records store.Store, policy onlyonce.Policy, exported *metrics) (*onlyonce.Engine, error) {
	engine, err := onlyonce.New(records, onlyonce.WithPolicy(policy), onlyonce.WithObserver(exported.observer(nil)))
	if err != nil {
		return nil, err // names the problem
	}

	return engine, exported.watch(engine)
}

// sweep deletes expired records until ctx ends. Payments work without it, but the table grows.
func sweep(ctx context.Context, records *sqlstore.Store) {
	if err := records.Run(ctx); err != nil {
		slog.Error("expired records stay", "error", err)
	}
}

// serveChild listens, prints the address, and serves until ctx ends. The engine may be nil.
func serveChild(
	ctx context.Context, stdout io.Writer, engine *onlyonce.Engine,
	scope interceptor.Scope, service paymentsv1.PaymentServiceServer, policy ...interceptor.ServerOption,
) error {
	server, err := newServer(engine, scope, service, policy...) //nolint:contextcheck // Validate takes none
	if err != nil {
		return err
	}

	listener, err := announce(stdout)
	if err != nil {
		return err
	}

	return serveUntil(ctx, listener, server, engine)
}

// announce listens, and prints the address.
func announce(stdout io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return nil, fmt.Errorf("printing the address: %w", err)
	}

	return listener, nil
}
