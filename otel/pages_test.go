package onceotel_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestCodeOfThePageSwitchesTelemetryOn(t *testing.T) {
	t.Parallel()

	records := memstore.New()

	telemetry, err := onceotel.New()
	if err != nil {
		t.Fatal(err)
	}

	engine, err := onlyonce.New(records, telemetry.EngineOptions(onlyonce.AttentionObserver(nil))...)
	if err != nil {
		t.Fatal(err)
	}

	watch, err := telemetry.WatchEngine(engine, "payments") // waiters, detached runs, backlog
	if err != nil {
		t.Fatal(err)
	}

	if err := watch.Unregister(); err != nil {
		t.Error(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	server := grpc.NewServer(append(protect.ServerOptions(), // protect is the result of interceptor.NewServer
		grpc.StatsHandler(otelgrpc.NewServerHandler()))...) // makes the spans to which the kit adds attributes
	server.Stop()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	err = reconcile.Run(ctx, engine, reconcile.Options{Report: telemetry.Report})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCodeOfThePageSwitchesTelemetryOnInAClient(t *testing.T) {
	t.Parallel()

	telemetry, err := onceotel.New()
	if err != nil {
		t.Fatal(err)
	}

	budgets, err := retry.NewBudgets(10, 0.1)
	if err != nil {
		t.Fatal(err)
	}

	dial, err := interceptor.DialOptions(telemetry.ClientOption(), interceptor.WithBudgets(budgets)) // and WithMethods, without .proto options
	if err != nil || len(dial) == 0 {
		t.Errorf("there are %d options, %v", len(dial), err)
	}

	watch, err := telemetry.WatchBudgets(budgets)
	if err != nil {
		t.Fatal(err)
	}

	if err := watch.Unregister(); err != nil {
		t.Error(err)
	}
}

func TestCodeOfThePageFiltersTheMethodsOfAServer(t *testing.T) {
	t.Parallel()

	var server *grpc.Server
	known := func(method string) bool { return onceotel.MethodsOf(server)(method) }
	telemetry, err := onceotel.New(onceotel.WithMethodFilter(known))

	if telemetry == nil || err != nil {
		t.Error(err)
	}

	server = grpc.NewServer()
	defer server.Stop()

	if known("/a.B/C") {
		t.Error("a method is known that no service has")
	}
}
