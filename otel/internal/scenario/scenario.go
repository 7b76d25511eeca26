// Package scenario produces every metric of package onceotel, with real gRPC calls and simulated faults.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Run produces every metric. Metrics that are read at collection exist until stop is called.
func Run(ctx context.Context, t *onceotel.Telemetry) (stop func() error, err error) {
	engine, err := onlyonce.New(memstore.New(memstore.WithObserver(t.StoreObserver("memory"))), t.EngineOptions()...)
	if err != nil {
		return nil, fmt.Errorf("making an engine: %w", err)
	}

	budgets, err := retry.NewBudgets(10, 0.1) // the values of gRPC's examples
	if err != nil {
		return nil, fmt.Errorf("making budgets: %w", err)
	}

	var registrations []metric.Registration

	for _, watch := range []func() (metric.Registration, error){
		func() (metric.Registration, error) { return t.WatchEngine(engine, "payments") },
		func() (metric.Registration, error) { return t.WatchBudgets(budgets) },
	} {
		registration, err := watch()
		if err != nil {
			return nil, err //nolint:wrapcheck // it says what failed
		}

		registrations = append(registrations, registration)
	}

	faults(ctx, t)

	return func() error {
		errs := make([]error, 0, len(registrations))
		for _, registration := range registrations {
			errs = append(errs, registration.Unregister())
		}

		return errors.Join(errs...)
	}, calls(ctx, t, engine, budgets)
}

// bank fails its first call without an effect, and makes one call wait for another.
type bank struct {
	pb.UnimplementedTestServiceServer

	calls   atomic.Int64
	running chan struct{}
	release chan struct{}
}

func (b *bank) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if b.calls.Add(1) == 1 {
		return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, "starting"))
	}

	return &pb.SimpleResponse{}, nil
}

func (b *bank) CacheableUnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	close(b.running)
	<-b.release

	return &pb.SimpleResponse{}, nil
}

// connect serves a bank, and returns a client with telemetry.
func connect(t *onceotel.Telemetry, b *bank, budgets *retry.Budgets, opts ...grpc.ServerOption) (pb.TestServiceClient, func(), error) {
	dial, err := interceptor.DialOptions(t.ClientOption(), interceptor.WithAllMethods(), interceptor.WithBudgets(budgets),
		interceptor.WithRetry(retry.Policy{BaseDelay: time.Millisecond}))
	if err != nil {
		return nil, nil, fmt.Errorf("making a client: %w", err)
	}

	listener := bufconn.Listen(1 << 20) // bytes

	conn, err := grpc.NewClient("passthrough:///bank", append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		return nil, nil, fmt.Errorf("making a connection: %w", err)
	}

	server := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(server, b)

	go func() { _ = server.Serve(listener) }()

	return pb.NewTestServiceClient(conn), func() {
		_ = conn.Close()
		server.Stop()
	}, nil
}

func calls(ctx context.Context, t *onceotel.Telemetry, engine *onlyonce.Engine, budgets *retry.Budgets) error {
	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return fmt.Errorf("protecting a server: %w", err)
	}

	b := &bank{running: make(chan struct{}), release: make(chan struct{})}

	client, stop, err := connect(t, b, budgets, protect.ServerOptions()...)
	if err != nil {
		return err
	}
	defer stop()

	for range 2 { // retried and executed, then replayed
		if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}, interceptor.WithKey("order-1")); err != nil {
			return fmt.Errorf("paying: %w", err)
		}
	}

	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1}, interceptor.WithKey("order-1"))
	if !errors.Is(err, onlyonce.ReasonKeyReused) {
		return fmt.Errorf("paying something else with the key: %w", err)
	}

	return errors.Join(wait(ctx, client, engine, b), unprotected(ctx, t, budgets))
}

// unprotected calls a server without the kit. Its first answer stops the call, and its second answer is reported.
func unprotected(ctx context.Context, t *onceotel.Telemetry, budgets *retry.Budgets) error {
	client, stop, err := connect(t, new(bank), budgets)
	if err != nil {
		return err
	}
	defer stop()

	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) == codes.OK {
		return errors.New("a call was retried that nobody protects")
	}

	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
		return fmt.Errorf("paying without protection: %w", err)
	}

	return nil
}

// wait makes a call that waits for another call.
func wait(ctx context.Context, client pb.TestServiceClient, engine *onlyonce.Engine, b *bank) error {
	answers := make(chan error, 2)
	pay := func() {
		_, err := client.CacheableUnaryCall(ctx, &pb.SimpleRequest{}, interceptor.WithKey("order-2"))
		answers <- err
	}

	go pay()

	<-b.running

	go pay()

	for engine.Stats().Waiters == 0 {
		time.Sleep(time.Millisecond)
	}

	close(b.release)

	return errors.Join(<-answers, <-answers)
}

// faults sends events that only faults, or stores with servers, cause.
func faults(ctx context.Context, t *onceotel.Telemetry) {
	const method = "/grpc.testing.TestService/UnaryCall"

	engine := t.Observer()

	for kind := onlyonce.EventCall + 1; kind <= onlyonce.EventShadowMode; kind++ {
		event := onlyonce.Event{Kind: kind, Method: method, Key: "order-3"}

		if kind == onlyonce.EventShadow {
			event.Status, event.Reason = onlyonce.StatusRejected, onlyonce.ReasonKeyReused
			event.Shadow = &onlyonce.Shadowed{Class: onlyonce.ClassDefinite, Compared: true, Differs: true}
		}

		engine.Observe(ctx, event)
	}

	for _, s := range []onlyonce.Status{onlyonce.StatusUnknown, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected} {
		engine.Observe(ctx, onlyonce.Event{Kind: onlyonce.EventCall, Method: method, Status: s, Total: time.Second, Run: time.Second / 2})
	}

	for _, reason := range []onlyonce.Reason{
		onlyonce.ReasonStoreUnavailable, onlyonce.ReasonStoreFull, onlyonce.ReasonRecordUnreadable, onlyonce.ReasonRecordNewer,
	} {
		engine.Observe(ctx, onlyonce.Event{Kind: onlyonce.EventCall, Method: method, Status: onlyonce.StatusRejected, Reason: reason})
	}

	records := t.StoreObserver("redis")

	for _, s := range []store.Status{
		store.StatusApplied, store.StatusDeclined, store.StatusFull, store.StatusBusy, store.StatusUnreadable, store.StatusTimeout,
	} {
		records.ObserveStore(ctx, store.Event{Kind: store.EventOperation, Operation: store.OperationClaim, Status: s})
	}

	for _, operation := range []store.Operation{store.OperationList, store.OperationSweep, store.OperationListen} {
		records.ObserveStore(ctx, store.Event{Kind: store.EventOperation, Operation: operation, Status: store.StatusApplied})
	}

	for kind := store.EventOperation; kind <= store.EventListen; kind++ {
		records.ObserveStore(ctx, store.Event{
			Kind: kind, Operation: store.OperationClaim, Status: store.StatusFailed, Duration: time.Millisecond, Count: 1,
		})
	}

	//nolint:contextcheck // a report has none
	t.ReportOf("payments")(reconcile.Report{Unknown: 2, Settled: 1, Failed: 1, NoRecovery: 1, Methods: []reconcile.MethodReport{
		{Method: method, Unknown: 2, Settled: 1, Failed: 1, Oldest: time.Minute},
	}})
}
