//go:build unix

package sqlcrash

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// theScope is the scope of all calls.
const theScope = "shop"

// point is a step of a call.
type point string

const (
	atHandler  point = "handler"  // claimed, and about to run
	atWritten  point = "written"  // in the handler, with its row written
	atReturned point = "returned" // the handler has returned
	atAnswer   point = "answer"   // the outcome is recorded, and the answer is about to be sent
)

// serverConfig configures a server.
type serverConfig struct {
	Driver, DSN string
	HandlerDSN  string // for connections of handlers
	Dialect     sqlstore.Dialect
	// Pipelined servers send statements together.
	Pipelined bool
	// Policy is the policy of all methods.
	Policy onlyonce.Policy
	// Outside puts the method of the single transaction under AT_MOST_ONCE, with an effect outside any transaction.
	// Recovers makes the server look for that effect.
	Outside, Recovers bool
	// Heedless handlers of joined transactions go on when their context has ended.
	Heedless bool
	// ParkAt is the point at which the server waits, once, for permission to continue.
	ParkAt point
	// ParksAll stops every call there, for ever.
	ParksAll bool
	// Reconciles makes the server settle unknown outcomes by itself, too.
	Reconciles bool
	// DieAt is the step at which the server kills itself, after DieAfter; zero means never.
	DieAt    int64
	DieAfter time.Duration
}

// probe reports to the test process which point its server has reached.
type probe struct {
	config *serverConfig
	steps  atomic.Int64
	park   sync.Once
	resume chan struct{}
}

func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// reach returns when the server may go on.
func (p *probe) reach(at point, key string) {
	say(at, key)

	if p.steps.Add(1) == p.config.DieAt {
		time.AfterFunc(p.config.DieAfter, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}

	if at == p.config.ParkAt && p.config.ParksAll {
		select {}
	}

	if at == p.config.ParkAt {
		p.park.Do(func() {
			say("parked")
			<-p.resume
		})
	}
}

// serverMain is the life of a server process, and its exit code.
func serverMain(encoded string) int {
	var config serverConfig

	err := json.Unmarshal([]byte(encoded), &config) //nolint:musttag // both sides are this program
	if err == nil {
		err = serve(&config)
	}

	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "a server:", err)

		return 1
	}

	return 0
}

// serve serves until SIGTERM. It returns an error if anything of the server is left then.
func serve(config *serverConfig) error {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)

	probe := &probe{config: config, resume: make(chan struct{})}

	go func() {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
			close(probe.resume)
		}

		_, _ = io.Copy(io.Discard, os.Stdin)

		os.Exit(1) // the test process has gone
	}()

	before := goleak.IgnoreCurrent()

	// Handlers that hold connections cannot keep the store from its own.
	var pools [2]*sql.DB

	for i, dsn := range []string{config.DSN, config.HandlerDSN} {
		db, err := sql.Open(config.Driver, dsn)
		if err != nil {
			return err
		}

		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)

		pools[i] = db
	}

	var pipeline sqlstore.Pipeline
	if config.Pipelined {
		pipeline = pgxpipeline.Send
	}

	records, err := sqlstore.New(pools[0], config.Dialect, sqlstore.WithTimeout(storeTimeout), sqlstore.WithPipeline(pipeline))
	if err != nil {
		return err
	}

	engine, server, err := build(config, probe, records, pools[1])
	if err != nil {
		return err
	}

	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	settling, stopSettling := context.WithCancel(context.Background())
	defer stopSettling()

	settled := make(chan error, 1)
	go func() { settled <- reconcileIf(settling, config.Reconciles, engine) }()

	say("ready", listener.Addr())
	<-terminate
	stopSettling()

	if err := <-settled; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("settling unknown outcomes: %w", err)
	}

	say("stopping")
	server.GracefulStop()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if err := engine.Drain(ctx); err != nil {
		return err
	}

	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}

	for _, db := range pools {
		if err := db.Close(); err != nil {
			return err
		}
	}

	return goleak.Find(before)
}

// reconcileIf settles unknown outcomes until ctx ends, if does is set.
func reconcileIf(ctx context.Context, does bool, engine *onlyonce.Engine) error {
	if !does {
		<-ctx.Done()

		return ctx.Err()
	}

	return reconcile.Run(ctx, engine, reconcile.Options{Interval: 200 * time.Millisecond, Rate: 1_000})
}

func build(config *serverConfig, probe *probe, records *sqlstore.Store, db *sql.DB) (*onlyonce.Engine, *grpc.Server, error) {
	engine, err := onlyonce.New(records, onlyonce.WithPolicy(config.Policy),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: storeTimeout, SettleTimeout: settleTimeout}))
	if err != nil {
		return nil, nil, err
	}

	service := &shop{probe: probe, db: db, dialect: config.Dialect, outside: config.Outside, heedless: config.Heedless}

	policy := interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.SingleTransaction}}
	if config.Outside {
		policy = interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}}
	}

	if config.Recovers {
		policy.Recover = service.recover
	}

	protect, err := interceptor.NewServer(engine,
		interceptor.ScopeFunc(func(context.Context) (string, error) { return theScope, nil }),
		interceptor.WithPolicy(interceptor.Policy{Key: interceptor.KeyRequired}),
		interceptor.WithMethodPolicy(methodOf(single), policy),
		interceptor.WithMethodPolicy(methodOf(joined), interceptor.Policy{
			Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction},
		}))
	if err != nil {
		return nil, nil, err
	}

	server := grpc.NewServer(grpc.ChainUnaryInterceptor(probe.outside, protect.Unary, probe.inside), grpc.WaitForHandlers(true))
	pb.RegisterTestServiceServer(server, service)

	return engine, server, nil
}

// inside is between the interceptor and the handler.
func (p *probe) inside(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	p.reach(atHandler, keyOf(ctx))

	resp, err := handler(ctx, req)

	p.reach(atReturned, keyOf(ctx))

	return resp, err
}

// outside is between the interceptor and the network.
func (p *probe) outside(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)

	p.reach(atAnswer, keyOf(ctx))

	return resp, err
}
