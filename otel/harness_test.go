package onceotel_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const unaryCall = pb.TestService_UnaryCall_FullMethodName

// watch is a Telemetry that keeps metrics and spans in memory.
type watch struct {
	*onceotel.Telemetry

	reader  *metric.ManualReader
	meters  *metric.MeterProvider
	spans   *tracetest.InMemoryExporter
	tracers *trace.TracerProvider
}

func newWatch(t *testing.T, opts ...onceotel.Option) *watch {
	t.Helper()

	w := &watch{reader: metric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	w.meters = metric.NewMeterProvider(metric.WithReader(w.reader))
	w.tracers = trace.NewTracerProvider(trace.WithSyncer(w.spans))

	var err error

	w.Telemetry, err = onceotel.New(append([]onceotel.Option{
		onceotel.WithMeterProvider(w.meters), onceotel.WithTracerProvider(w.tracers), onceotel.WithPropagator(propagation.TraceContext{}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	return w
}

// point is a series of a metric: its attributes as text, and its value or number of measurements.
type point struct {
	attrs attribute.Set
	value float64
}

// collect returns all series by metric name.
func (w *watch) collect(t *testing.T) map[string][]point {
	t.Helper()

	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}

	points := make(map[string][]point)

	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			points[m.Name] = append(points[m.Name], pointsOf(t, m.Data)...)
		}
	}

	return points
}

func pointsOf(t *testing.T, data metricdata.Aggregation) (points []point) {
	t.Helper()

	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Value)})
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Value)})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, p.Value})
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Count)})
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			points = append(points, point{p.Attributes, float64(p.Count)})
		}
	default:
		t.Errorf("a metric is %T", data)
	}

	return points
}

// value returns the value of the series with exactly these attributes, as "name=value". It is 0 without such a series.
func value(points []point, attrs ...string) float64 {
	slices.Sort(attrs)

	for _, p := range points {
		if slices.Equal(texts(p.attrs), attrs) {
			return p.value
		}
	}

	return 0
}

func texts(set attribute.Set) (all []string) {
	for _, attr := range set.ToSlice() {
		all = append(all, string(attr.Key)+"="+attr.Value.String())
	}

	slices.Sort(all)

	return all
}

// span returns the only span with a name and an attribute, such as "onlyonce.attempt=1". An empty attribute matches any span.
func (w *watch) span(t *testing.T, name, attr string) tracetest.SpanStub {
	t.Helper()

	var found []tracetest.SpanStub

	spans := w.spans.GetSpans()
	for i := range spans {
		if spans[i].Name == name && (attr == "" || slices.Contains(spanTexts(&spans[i]), attr)) {
			found = append(found, spans[i])
		}
	}

	if len(found) != 1 {
		t.Fatalf("%d spans are %s with %q; all: %s", len(found), name, attr, w.names())
	}

	return found[0]
}

func (w *watch) names() string {
	spans := w.spans.GetSpans()
	names := make([]string, 0, len(spans))

	for i := range spans {
		names = append(names, fmt.Sprint(spans[i].Name, " ", spans[i].SpanKind, " ", spanTexts(&spans[i])))
	}

	return "\n" + strings.Join(names, "\n")
}

func spanTexts(span *tracetest.SpanStub) (all []string) {
	for _, attr := range span.Attributes {
		all = append(all, string(attr.Key)+"="+attr.Value.String())
	}

	return all
}

func mustHave(t *testing.T, span tracetest.SpanStub, attrs ...string) {
	t.Helper()

	for _, attr := range attrs {
		if !slices.Contains(spanTexts(&span), attr) {
			t.Errorf("the span %s has %v, not %s", span.Name, spanTexts(&span), attr)
		}
	}
}

type handlerFunc func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error)

type bank struct {
	pb.UnimplementedTestServiceServer

	handle handlerFunc
}

func (b *bank) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if b.handle == nil {
		return &pb.SimpleResponse{Username: "paid"}, nil
	}

	return b.handle(ctx, req)
}

// world is a server and a client with telemetry, over in-memory gRPC.
type world struct {
	engine *onlyonce.Engine
	server *grpc.Server
	client pb.TestServiceClient
	conn   *grpc.ClientConn
}

// setup configures a world.
type setup struct {
	store       *memstore.Store
	behind      []grpc.UnaryServerInterceptor
	client      []interceptor.ClientOption
	dial        []grpc.DialOption
	unprotected bool
}

func start(t *testing.T, w *watch, s setup, handle handlerFunc) *world {
	t.Helper()

	if s.store == nil {
		s.store = memstore.New(memstore.WithObserver(w.StoreObserver("memory")))
	}

	engine, err := onlyonce.New(s.store, w.EngineOptions()...)
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	chain := s.behind
	if !s.unprotected {
		chain = slices.Concat([]grpc.UnaryServerInterceptor{protect.Unary}, chain)
	}

	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(chain...), grpc.WaitForHandlers(true), grpc.StatsHandler(
		otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(w.tracers), otelgrpc.WithPropagators(propagation.TraceContext{}))))
	pb.RegisterTestServiceServer(server, &bank{handle: handle})

	go func() { _ = server.Serve(listener) }()

	t.Cleanup(server.Stop)

	dial, err := interceptor.DialOptions(append([]interceptor.ClientOption{interceptor.WithAllMethods(), w.ClientOption()}, s.client...)...)
	if err != nil {
		t.Fatal(err)
	}

	conn, err := grpc.NewClient("passthrough:///bank", append(append(dial, s.dial...),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return &world{engine: engine, server: server, client: pb.NewTestServiceClient(conn), conn: conn}
}

// pay makes a call with a key.
func (w *world) pay(ctx context.Context, key string) error {
	_, err := w.client.UnaryCall(ctx, &pb.SimpleRequest{}, interceptor.WithKey(key))

	return err
}
