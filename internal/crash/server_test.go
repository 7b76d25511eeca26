//go:build unix

package crash

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/reconcile"
)

// theScope is the scope of all calls.
const theScope = "shop"

// serverConfig configures a server.
type serverConfig struct {
	// Name distinguishes the servers of a test.
	Name string
	// World is the address of the test process.
	World string
	// Redis is the URL of the shared store; where it is empty, the test process keeps it.
	Redis string
	// Policy is the policy of all methods.
	Policy onlyonce.Policy
	// Deduplicated makes the handler pass its key to the provider.
	Deduplicated bool
	// StoreAhead is by how much the store's clock is ahead of the server's.
	StoreAhead time.Duration
	// Recovers makes the server ask the provider about unknown outcomes.
	Recovers bool
	// Reconciles makes the server settle unknown outcomes by itself, too.
	Reconciles bool
	// Keys are the ids of the keys with which the server seals its records, the newest first. Without keys, it does not seal.
	Keys []string
	// StoreTimeout bounds an operation of the store. SettleTimeout bounds how long a caller waits for its outcome to be
	// recorded. Zero is for a store without outages.
	StoreTimeout, SettleTimeout time.Duration
	// GracefulStopFirst shuts down without Drain before the last answer is out.
	GracefulStopFirst bool
}

// encode encodes the configuration as the value of an environment variable.
func (c *serverConfig) encode() (string, error) {
	var buf bytes.Buffer

	err := gob.NewEncoder(&buf).Encode(c)

	return hex.EncodeToString(buf.Bytes()), err
}

func decodeConfig(encoded string) (serverConfig, error) {
	var config serverConfig

	err := gob.NewDecoder(hex.NewDecoder(strings.NewReader(encoded))).Decode(&config)

	return config, err
}

func (c *serverConfig) storeTimeout() time.Duration { return cmp.Or(c.StoreTimeout, 10*time.Second) }

// serverMain is the life of a server process, and its exit code.
func serverMain(encoded string) int {
	config, err := decodeConfig(encoded)
	if err == nil {
		err = serve(&config)
	}

	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "server %s: %v\n", config.Name, err)

		return 1
	}

	return 0
}

// serve serves until SIGTERM. It returns an error if anything of the server is left then.
func serve(config *serverConfig) error {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)

		os.Exit(1) // the test process has gone
	}()

	before := goleak.IgnoreCurrent()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	conn, err := new(net.Dialer).DialContext(ctx, "tcp", config.World)
	if err != nil {
		return fmt.Errorf("connecting to the test process: %w", err)
	}

	world := rpc.NewClient(conn)
	probe := &probe{world: world, server: config.Name}

	records, err := openShared(config, world)
	if err != nil {
		return err
	}

	engine, server, err := build(config, world, probe, records)
	if err != nil {
		return err
	}

	var listening net.ListenConfig

	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	settling, stopSettling := context.WithCancel(context.Background())
	defer stopSettling()

	settled := make(chan error, 1)
	go func() { settled <- reconcileIf(settling, config.Reconciles, engine) }()

	probe.reach(&Visit{At: atReady, Body: []byte(listener.Addr().String())})
	<-terminate
	probe.reach(&Visit{At: atStopping})
	stopSettling()

	if err := <-settled; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("settling unknown outcomes: %w", err)
	}

	if err := shutDown(config, engine, server); err != nil {
		return err
	}

	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}

	if err := records.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}

	if err := world.Close(); err != nil {
		return fmt.Errorf("closing the connection to the test process: %w", err)
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

func build(
	config *serverConfig, world *rpc.Client, probe *probe, records backend,
) (*onlyonce.Engine, *grpc.Server, error) {
	probed := &probedStore{backend: records, probe: probe, ahead: config.StoreAhead}

	sealed, err := seal(probed, config.Keys)
	if err != nil {
		return nil, nil, err
	}

	engine, err := onlyonce.New(sealed,
		onlyonce.WithPolicy(config.Policy), onlyonce.WithObserver(onlyonce.ObserverFunc(probe.observe)),
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: config.storeTimeout(), SettleTimeout: config.SettleTimeout}))
	if err != nil {
		return nil, nil, err
	}

	scope := interceptor.ScopeFunc(func(context.Context) (string, error) { return theScope, nil })

	service := &shop{world: world, probe: probe, deduplicated: config.Deduplicated}

	policy := interceptor.Policy{Key: interceptor.KeyRequired}
	if config.Recovers {
		policy.Recover = service.recover
	}

	protect, err := interceptor.NewServer(engine, scope, interceptor.WithPolicy(policy))
	if err != nil {
		return nil, nil, err
	}

	server := grpc.NewServer(grpc.ChainUnaryInterceptor(probe.outside, protect.Unary, probe.inside), grpc.WaitForHandlers(true))
	pb.RegisterTestServiceServer(server, service)

	return engine, server, nil
}

func shutDown(config *serverConfig, engine *onlyonce.Engine, server *grpc.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if config.GracefulStopFirst {
		server.GracefulStop()

		return engine.Drain(ctx)
	}

	if err := engine.Drain(ctx); err != nil {
		return err
	}

	server.GracefulStop()

	return nil
}
