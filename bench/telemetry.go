package main

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
)

// Telemetry settings of a server, with their aims.
const (
	noTelemetry = "no telemetry"
	withMetrics = "metrics (aim: 1 µs)"
	unsampled   = "metrics, span not sampled (aim: 1.5 µs)"
	sampled     = "metrics, sampled span (aim: 5 µs)"
)

// telemetry measures what package onceotel adds to a call.
func (c *config) telemetry(ctx context.Context) error {
	const live, calls = 10_000, 4_000

	return c.play(ctx, &contest{
		id: "telemetry", question: "What do metrics and spans add to a call?",
		lost: func(of func(string) row) string {
			adds := func(way string) string { return nanoText(of(way+", "+firstCall).adds(noTelemetry, cpu)) }

			return fmt.Sprintf("%s of CPU to a first call for metrics, %s with a span that is not sampled, and %s with a sampled one.",
				adds(withMetrics), adds(unsampled), adds(sampled))
		},
		about: "The server interceptor alone, without the network. The span is made around it, as a stats handler would do, and thrown away " +
			"when it ends. Metrics are kept, and not read.",
		columns: []column{
			more("CPU over no telemetry", noTelemetry, moreNanos, cpu),
			more("allocations", noTelemetry, moreTenths, allocs),
			more("memory", noTelemetry, moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: calls, rounds: 3, variants: telemetryVariants(ctx, live, calls),
	})
}

func telemetryVariants(ctx context.Context, live, calls int) (variants []variant) {
	harness := newHarness(ctx, calls)

	for _, kind := range []string{firstCall, replay} {
		for _, way := range []string{noTelemetry, withMetrics, unsampled, sampled} {
			start := func() (func(i int) error, error) { //nolint:contextcheck // making an interceptor takes no context
				intercept, err := observed(way)
				if err != nil {
					return nil, err
				}

				harness.freshKeys()
				harness.interceptor = intercept

				return harness.call(kind), harness.fill(live - calls/2)
			}

			variants = append(variants, variant{way: way, kind: kind, start: start})
		}
	}

	return variants
}

// observed returns the interceptor of onlyonce with the telemetry of a way.
func observed(way string) (grpc.UnaryServerInterceptor, error) {
	if way == noTelemetry {
		return protect(unbounded())
	}

	tracers := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	if way == sampled {
		tracers = sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()), sdk.WithSpanProcessor(thrownAway{}))
	}

	telemetry, err := onceotel.New(onceotel.WithTracerProvider(tracers),
		onceotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))))
	if err != nil {
		return nil, err
	}

	engine, err := onlyonce.New(unbounded(), telemetry.EngineOptions()...)
	if err != nil {
		return nil, err
	}

	server, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil || way == withMetrics {
		return server.Unary, err
	}

	tracer := tracers.Tracer("bench")

	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, span := tracer.Start(ctx, info.FullMethod, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()

		return server.Unary(ctx, req, info, handler)
	}, nil
}

// thrownAway processes no span.
type thrownAway struct{}

func (thrownAway) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (thrownAway) OnEnd(sdk.ReadOnlySpan)                     {}
func (thrownAway) Shutdown(context.Context) error             { return nil }
func (thrownAway) ForceFlush(context.Context) error           { return nil }
