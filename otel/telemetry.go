package onceotel

import (
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/reflection"
)

// scopeName is the name of the instrumentation scope.
const scopeName = "github.com/onlyonce-go/onlyonce/otel"

// Limits for names that become attributes.
const (
	maxMethods = 200
	maxTargets = 50
	// maxKinds bounds values from the kit itself, which are few.
	maxKinds = 64
)

// Telemetry makes the metrics and the spans of one program. It is safe for concurrent use.
type Telemetry struct {
	config config
	tracer trace.Tracer

	engine     engineMetrics
	stats      statsMetrics
	stores     storeMetrics
	client     clientMetrics
	reconciler reconcilerMetrics
}

// Option changes a Telemetry under construction.
type Option func(*config)

type config struct {
	meters       metric.MeterProvider
	tracers      trace.TracerProvider
	propagator   propagation.TextMapPropagator
	known        func(method string) bool
	attemptSpans bool
}

// WithMeterProvider sets the meter provider. The default, and nil, is the global meter provider of OpenTelemetry.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(c *config) { c.meters = provider }
}

// WithTracerProvider sets the tracer provider. The default, and nil, is the global tracer provider of OpenTelemetry.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(c *config) { c.tracers = provider }
}

// WithPropagator sets how the span context of an attempt is sent to the server. The default, and nil, is the global propagator of
// OpenTelemetry.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = propagator }
}

// WithMethodFilter selects the methods that appear by name in metrics of servers and of the reconciler. All others share the name "_other".
// By default, and with nil, the first 200 methods appear by name. Metrics of clients always do so, without the filter.
//
// The filter gets the name as the engine has it, such as "/payments.v1.PaymentService/Pay". It must be fast and safe for concurrent use. It
// is called again for methods that it has refused. See MethodsOf.
func WithMethodFilter(known func(method string) bool) Option {
	return func(c *config) { c.known = known }
}

// WithoutAttemptSpans turns off the spans of attempts. Attempts become events on the span of the call. Use it if something else makes a
// span for each gRPC call, such as the stats handler of otelgrpc. These spans are then children of the call's span.
func WithoutAttemptSpans() Option {
	return func(c *config) { c.attemptSpans = false }
}

// MethodsOf returns a filter with the methods of a server, such as a *grpc.Server. Services may be registered later. A server is usually
// made after its Telemetry, so call MethodsOf in a function:
//
//	var server *grpc.Server
//	known := func(method string) bool { return onceotel.MethodsOf(server)(method) }
//	telemetry, err := onceotel.New(onceotel.WithMethodFilter(known))
func MethodsOf(server reflection.ServiceInfoProvider) func(method string) bool {
	return func(method string) bool {
		service, name, found := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		if !found {
			return false
		}

		for _, info := range server.GetServiceInfo()[service].Methods {
			if info.Name == name {
				return true
			}
		}

		return false
	}
}

// New returns a Telemetry. It returns an error if the meter provider refuses an instrument.
func New(opts ...Option) (*Telemetry, error) {
	c := config{attemptSpans: true}
	for _, opt := range opts {
		opt(&c)
	}

	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}

	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}

	if c.propagator == nil {
		c.propagator = otel.GetTextMapPropagator()
	}

	t := &Telemetry{config: c, tracer: c.tracers.Tracer(scopeName)}
	from := &instruments{meter: c.meters.Meter(scopeName)}

	t.engine.init(from, c.known)
	t.stats.init(from)
	t.stores.init(from)
	t.client.init(from)
	t.reconciler.init(from, c.known)

	if err := from.err(); err != nil {
		return nil, err
	}

	return t, nil
}

// methodName returns the name of a method in metrics and spans, without the leading slash.
func methodName(method string, known bool) string {
	if !known {
		return other
	}

	return strings.TrimPrefix(method, "/")
}
