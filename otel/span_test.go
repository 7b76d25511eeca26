package onceotel_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/retry"
)

const spanName = "grpc.testing.TestService/UnaryCall"

// flaky fails the first time, before any effect.
func flaky() handlerFunc {
	first := true

	return func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		if first {
			first = false

			return nil, onlyonce.NotExecuted(status.Error(codes.Unavailable, "card-4711 is not served"))
		}

		return &pb.SimpleResponse{Username: "paid"}, nil
	}
}

func quickly() interceptor.ClientOption {
	return interceptor.WithRetry(retry.Policy{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, AttemptTimeout: time.Hour})
}

func TestALogicalCallHasASpanAndItsAttemptsHaveSpansBelow(t *testing.T) {
	w := newWatch(t)
	b := start(t, w, setup{client: []interceptor.ClientOption{quickly()}}, flaky())

	if err := b.pay(t.Context(), "card-4711"); err != nil {
		t.Fatal(err)
	}

	b.server.GracefulStop() // ends the server's spans, too

	call := w.span(t, spanName, "onlyonce.attempts=2")
	first, second := w.span(t, spanName, "onlyonce.attempt=1"), w.span(t, spanName, "onlyonce.attempt=2")

	mustHave(t, call, "rpc.method="+spanName, "onlyonce.stop=success", "onlyonce.status=executed", "rpc.response.status_code=OK",
		"onlyonce.verdict=final", "onlyonce.stopped_unconfirmed=false", "grpc.target=passthrough:///bank")
	mustHave(t, first, "onlyonce.status=released", "rpc.response.status_code=UNAVAILABLE", "onlyonce.stop=none")
	mustHave(t, second, "onlyonce.status=executed", "rpc.response.status_code=OK", "onlyonce.stop=success")

	for _, attempt := range []trace.SpanContext{first.Parent, second.Parent} {
		if attempt.SpanID() != call.SpanContext.SpanID() {
			t.Error("an attempt is not below the call")
		}
	}

	if first.SpanKind != trace.SpanKindClient || call.SpanKind != trace.SpanKindInternal || first.Status.Code != otelcodes.Error {
		t.Errorf("the call is %v, and the first attempt is %v with %v", call.SpanKind, first.SpanKind, first.Status)
	}

	// The server's spans are children of the attempts.
	var parents []string

	for _, span := range w.spans.GetSpans() {
		if span.SpanKind == trace.SpanKindServer {
			parents = append(parents, span.Parent.SpanID().String())

			mustHave(t, span, "onlyonce.replayed=false")
		}

		// The text of an error is only in the server span of otelgrpc, not in our spans.
		if strings.Contains(strings.Join(spanTexts(&span), " "), "card-4711") ||
			span.SpanKind != trace.SpanKindServer && strings.Contains(span.Status.Description, "card-4711") {
			t.Errorf("the span %s has the key", span.Name)
		}
	}

	slices.Sort(parents)

	want := []string{first.SpanContext.SpanID().String(), second.SpanContext.SpanID().String()}
	slices.Sort(want)

	if !slices.Equal(parents, want) {
		t.Errorf("the server's spans are below %v, the attempts are %v", parents, want)
	}

	all := w.collect(t)
	if got := value(all["grpc.client.call.retries"], "grpc.method="+spanName, "grpc.target=passthrough:///bank"); got != 1 {
		t.Errorf("%v calls were retried", got)
	}
}

// With otelgrpc, its span of each gRPC call replaces the span of the attempt.
func TestSpansComposeWithTheStatsHandlerOfOtelgrpc(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   []onceotel.Option
		levels int // from the server's span up to the call's span
	}{
		"without attempt spans": {[]onceotel.Option{onceotel.WithoutAttemptSpans()}, 2},
		"with attempt spans":    {nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, tt.opts...)
			b := start(t, w, setup{client: []interceptor.ClientOption{quickly()}, dial: []grpc.DialOption{grpc.WithStatsHandler(
				otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(w.tracers), otelgrpc.WithPropagators(propagation.TraceContext{})))}}, flaky())

			if err := b.pay(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}

			b.server.GracefulStop()

			call := w.span(t, spanName, "onlyonce.attempts=2")
			parents := make(map[trace.SpanID]trace.SpanID)

			var servers []trace.SpanID

			for _, span := range w.spans.GetSpans() {
				parents[span.SpanContext.SpanID()] = span.Parent.SpanID()

				if span.SpanKind == trace.SpanKindServer {
					servers = append(servers, span.SpanContext.SpanID())
				}
			}

			for _, server := range servers {
				above := server
				for range tt.levels {
					above = parents[above]
				}

				if above != call.SpanContext.SpanID() {
					t.Errorf("a span of the server is not %d levels below the call: %s", tt.levels, w.names())
				}
			}

			if len(servers) != 2 {
				t.Errorf("%d spans are the server's", len(servers))
			}

			if want := len(call.Events); tt.levels == 2 && want != 2 {
				t.Errorf("the call has %d events of attempts", want)
			}
		})
	}
}

func TestAReplayHasALinkToTheCallThatRan(t *testing.T) {
	w := newWatch(t)
	b := start(t, w, setup{}, nil)

	for range 2 {
		if err := b.pay(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}

	b.server.GracefulStop()

	ran, replayed := w.span(t, spanName, "onlyonce.replayed=false"), w.span(t, spanName, "onlyonce.replayed=true")

	mustHave(t, replayed, "onlyonce.status=replayed")

	if len(ran.Links) != 0 || len(replayed.Links) != 1 || !replayed.Links[0].SpanContext.Equal(ran.SpanContext.WithRemote(true)) {
		t.Errorf("the links are %v and %v, the call that ran is %v", ran.Links, replayed.Links, ran.SpanContext)
	}
}

func TestEventsThatNeedAttentionAreEventsOfTheSpan(t *testing.T) {
	w := newWatch(t)
	ctx, span := w.tracers.Tracer("").Start(t.Context(), "call")

	w.Observer().Observe(ctx, onlyonce.Event{Kind: onlyonce.EventLeaseLost, Method: "/bank/Pay", Key: "card-4711", Fence: 7})
	span.End()

	events := w.span(t, "call", "").Events
	if len(events) != 1 || events[0].Name != "onlyonce.lease_lost" || len(events[0].Attributes) != 1 {
		t.Errorf("the events are %v", events)
	}
}

// The trace of a damaged record makes no link.
func TestTraceThatIsNoneMakesNoLink(t *testing.T) {
	w := newWatch(t)

	for _, text := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		ctx, span := w.tracers.Tracer("").Start(t.Context(), "call")
		w.Observer().Observe(ctx, onlyonce.Event{Kind: onlyonce.EventCall, Status: onlyonce.StatusReplayed, Trace: text})
		span.End()
	}

	for _, span := range w.spans.GetSpans() {
		if len(span.Links) != 0 {
			t.Errorf("the links are %v", span.Links)
		}
	}
}

func TestTraceparentIsThatOfASampledSpan(t *testing.T) {
	w := newWatch(t)

	if got := onceotel.Traceparent(t.Context()); got != "" {
		t.Errorf("without a span it is %q", got)
	}

	ctx, span := w.tracers.Tracer("").Start(t.Context(), "call")
	defer span.End()

	of := span.SpanContext()
	if got, want := onceotel.Traceparent(ctx), "00-"+of.TraceID().String()+"-"+of.SpanID().String()+"-01"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}

	unsampled := trace.ContextWithSpanContext(t.Context(), of.WithTraceFlags(0))
	if got := onceotel.Traceparent(unsampled); got != "" {
		t.Errorf("of a span that is not sampled it is %q", got)
	}
}

func TestARunThatOutlivesItsCallerKeepsItsTrace(t *testing.T) {
	w := newWatch(t)
	running, left := make(chan struct{}), make(chan struct{})

	b := start(t, w, setup{client: []interceptor.ClientOption{interceptor.WithRetry(retry.Policy{MaxAttempts: 1})}},
		func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			close(running)
			<-left

			_, span := w.tracers.Tracer("").Start(ctx, "write to the ledger")
			span.End()

			return &pb.SimpleResponse{}, ctx.Err()
		})

	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)

	go func() { answered <- b.pay(ctx, "k") }()

	<-running
	cancel()

	if err := <-answered; status.Code(err) != codes.Canceled {
		t.Errorf("the answer is %v", err)
	}

	close(left)
	b.server.GracefulStop()

	call, ledger := w.span(t, spanName, "onlyonce.attempts=1"), w.span(t, "write to the ledger", "")
	if ledger.SpanContext.TraceID() != call.SpanContext.TraceID() {
		t.Error("the run has lost its trace")
	}

	for _, span := range w.spans.GetSpans() {
		if span.SpanKind == trace.SpanKindServer {
			mustHave(t, span, "onlyonce.status=executed")

			if ledger.Parent.SpanID() != span.SpanContext.SpanID() {
				t.Error("the span of the handler is not below that of the server")
			}
		}
	}
}

func TestCallsThatWereStoppedUnconfirmedAreCounted(t *testing.T) {
	w := newWatch(t)
	b := start(t, w, setup{unprotected: true, client: []interceptor.ClientOption{quickly()}},
		func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			return nil, status.Error(codes.Unavailable, "no")
		})

	if err := b.pay(t.Context(), "k"); status.Code(err) != codes.Unavailable {
		t.Errorf("the answer is %v", err)
	}

	calls := w.collect(t)["onlyonce.client.calls"]
	if got := value(calls, "grpc.method="+spanName, "grpc.target=passthrough:///bank", "onlyonce.stop=unconfirmed"); got != 1 {
		t.Errorf("%v calls were stopped as unconfirmed: %v", got, calls)
	}

	mustHave(t, w.span(t, spanName, "onlyonce.attempts=1"), "onlyonce.stopped_unconfirmed=true", "onlyonce.stop=unconfirmed")
}
