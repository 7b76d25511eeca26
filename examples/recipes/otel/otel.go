// Package otel contains a server with OpenTelemetry metrics and spans.
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

// NewServer returns a server with telemetry. By default, the telemetry goes to the global providers of OpenTelemetry. Stop ends the
// callbacks that read the engine.
func NewServer(opts ...onceotel.Option) (_ *grpc.Server, stop func() error, _ error) {
	telemetry, err := onceotel.New(opts...)
	if err != nil {
		return nil, nil, err
	}

	records := memstore.New(memstore.WithObserver(telemetry.StoreObserver("payments")))

	// Pass your own observers to EngineOptions. A second WithObserver would replace the telemetry.
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

	// For the spans of calls, add grpc.StatsHandler(otelgrpc.NewServerHandler()) anywhere among the options.
	return grpc.NewServer(grpc.ChainUnaryInterceptor(protect.Unary), grpc.ChainStreamInterceptor(protect.Stream)), watch.Unregister, nil
}
