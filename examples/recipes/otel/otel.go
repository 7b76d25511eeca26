// Package otel has a server with metrics and spans of OpenTelemetry.
package otel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// NewServer returns a server and its engine, whose telemetry goes to the global providers of OpenTelemetry, unless options say otherwise.
// Stop ends the callbacks that read the engine.
func NewServer(opts ...onceotel.Option) (_ *grpc.Server, stop func() error, _ error) {
	telemetry, err := onceotel.New(opts...)
	if err != nil {
		return nil, nil, err
	}

	records := memstore.New(memstore.WithObserver(telemetry.StoreObserver("payments")))

	// An observer of your own goes into EngineOptions. A second WithObserver would replace that of the telemetry.
	engine, err := onlyonce.New(records, telemetry.EngineOptions(onlyonce.AttentionObserver(nil))...)
	if err != nil {
		return nil, nil, err
	}

	var watch metric.Registration

	watch, err = telemetry.WatchEngine(engine, "payments")
	if err != nil {
		return nil, nil, err
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		return nil, nil, errors.Join(err, watch.Unregister())
	}

	// The handler of otelgrpc, for the spans of calls, is grpc.StatsHandler(otelgrpc.NewServerHandler()): its place does not matter.
	return grpc.NewServer(grpc.ChainUnaryInterceptor(protect.Unary), grpc.ChainStreamInterceptor(protect.Stream)), watch.Unregister, nil
}
