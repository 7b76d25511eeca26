package onceotel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientMetrics are the metrics of client calls.
type clientMetrics struct {
	meter                        metric.Meter
	calls, attempts, unprotected metric.Int64Counter
	retries                      metric.Int64Histogram
	duration, delay              metric.Float64Histogram
	tokens, limit                metric.Float64ObservableGauge

	methods, targets bounded[string, string]
	pairs            bounded[clientPair, *clientPairLabels]
}

// clientPair is a method and a target, as label values.
type clientPair struct{ method, target string }

type clientPairLabels struct {
	plain   labels
	stops   bounded[string, labels]
	answers bounded[clientAnswer, labels]
}

// clientAnswer describes how a call or an attempt ended.
type clientAnswer struct {
	code   string
	status onlyonce.Status
}

func (m *clientMetrics) init(from *instruments) {
	m.meter = from.meter
	m.calls = from.counter("onlyonce.client.calls")
	m.attempts = from.counter("onlyonce.client.attempts")
	m.unprotected = from.counter("onlyonce.client.unprotected_answers")
	m.retries = from.sizes("grpc.client.call.retries")
	m.delay = from.histogram("grpc.client.call.retry_delay", longTimes)
	m.duration = from.histogram("onlyonce.client.call.duration", longTimes)
	m.tokens = from.observedGauge("onlyonce.client.budget.tokens")
	m.limit = from.observedGauge("onlyonce.client.budget.limit")

	m.methods = bounded[string, string]{most: maxMethods, make: methodName}
	m.targets = bounded[string, string]{most: maxTargets, make: func(target string, known bool) string {
		if !known {
			return other
		}

		return target
	}}
	m.pairs = bounded[clientPair, *clientPairLabels]{most: 4 * maxMethods, make: newClientPair}
}

func newClientPair(pair clientPair, known bool) *clientPairLabels {
	if !known {
		pair = clientPair{other, other}
	}

	method, target := attribute.String(attrGRPCMethod, pair.method), attribute.String(attrTarget, pair.target)

	return &clientPairLabels{
		plain: labelsOf(method, target),
		stops: bounded[string, labels]{most: maxKinds, make: func(stop string, _ bool) labels {
			return labelsOf(method, target, attribute.String(attrStop, stop))
		}},
		answers: bounded[clientAnswer, labels]{most: 4 * maxKinds, make: func(a clientAnswer, _ bool) labels {
			return labelsOf(method, target, attribute.String(attrGRPCStatus, a.code), attribute.String(attrStatus, string(a.status)))
		}},
	}
}

func (m *clientMetrics) of(method, target string) *clientPairLabels {
	return m.pairs.get(clientPair{m.methods.get(method), m.targets.get(target)})
}

// answerOf returns the label values of an answer. It checks the status, because a server may send anything.
func answerOf(err error, s onlyonce.Status) clientAnswer {
	switch s {
	case "", onlyonce.StatusExecuted, onlyonce.StatusReplayed, onlyonce.StatusReleased, onlyonce.StatusUnknown, onlyonce.StatusUnrecorded,
		onlyonce.StatusUnprotected, onlyonce.StatusRejected:
	default:
		s = other
	}

	return clientAnswer{codeName(status.Code(err)), s}
}

// codeName returns the name of a code as in gRFC A66, such as "DEADLINE_EXCEEDED".
func codeName(code codes.Code) string {
	names := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
	if code <= codes.Unauthenticated { // a server may send any number
		return names[code]
	}

	return names[codes.Unknown]
}

// stopName returns the reason why a call was not retried, such as "not_retryable".
func stopName(end *interceptor.CallEnd) string {
	if end.StoppedUnconfirmed {
		return "unconfirmed"
	}

	return strings.ReplaceAll(end.Stop.String(), "-", "_")
}

func (m *clientMetrics) end(ctx context.Context, end *interceptor.CallEnd) {
	pair := m.of(end.Method, end.Target)

	m.calls.Add(ctx, 1, pair.stops.get(stopName(end)).add...)
	m.duration.Record(ctx, end.Elapsed.Seconds(), pair.answers.get(answerOf(end.Err, end.Status)).record...)

	if end.Attempts > 1 {
		m.retries.Record(ctx, int64(end.Attempts-1), pair.plain.record...)
	}

	if end.Delay > 0 {
		m.delay.Record(ctx, end.Delay.Seconds(), pair.plain.record...)
	}
}

func (m *clientMetrics) attempt(ctx context.Context, target string, a *interceptor.Attempt) {
	pair := m.of(a.Method, target)

	m.attempts.Add(ctx, 1, pair.answers.get(answerOf(a.Err, a.Status)).add...)

	if a.Unconfirmed {
		m.unprotected.Add(ctx, 1, pair.plain.add...)
	}
}

// ClientOption returns the option of a client interceptor that makes metrics and spans of its calls. It replaces another
// interceptor.WithClientTrace.
//   - Every keyed call has a span of kind internal, named after the method. Its attributes are rpc.method, grpc.target, onlyonce.attempts,
//     onlyonce.stop, onlyonce.status, onlyonce.verdict and rpc.response.status_code.
//   - Every attempt has a child span of kind client with the attribute onlyonce.attempt, which counts from 1. The server gets its context:
//     see WithPropagator. With the stats handler of otelgrpc, use WithoutAttemptSpans.
//   - Calls without a key have no spans and no metrics.
func (t *Telemetry) ClientOption() interceptor.ClientOption {
	return interceptor.WithClientTrace(&interceptor.ClientTrace{
		Begin: t.beginCall, BeginAttempt: t.beginAttempt, EndAttempt: t.endAttempt, End: t.endCall,
	})
}

// ongoingCall is the state of a call in progress.
type ongoingCall struct {
	info interceptor.CallInfo
	span trace.Span
}

type ongoingKey struct{}

func (t *Telemetry) beginCall(ctx context.Context, call interceptor.CallInfo) context.Context {
	//nolint:spancheck // endCall ends it
	ctx, span := t.tracer.Start(ctx, methodName(call.Method, true), trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(
		attribute.String("rpc.system.name", "grpc"), attribute.String(attrMethod, methodName(call.Method, true)),
		attribute.String(attrTarget, call.Target)))

	return context.WithValue(ctx, ongoingKey{}, &ongoingCall{info: call, span: span}) //nolint:spancheck // as above
}

func (t *Telemetry) beginAttempt(ctx context.Context, number int) context.Context {
	call, ok := ctx.Value(ongoingKey{}).(*ongoingCall)
	if !ok || !t.config.attemptSpans {
		return ctx
	}

	method := methodName(call.info.Method, true)
	//nolint:spancheck // endAttempt ends it
	ctx, _ = t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rpc.system.name", "grpc"), attribute.String(attrMethod, method), attribute.Int(attrAttempt, number)))

	out, _ := metadata.FromOutgoingContext(ctx)
	if out == nil {
		out = make(metadata.MD)
	}

	t.config.propagator.Inject(ctx, carrier(out))

	return metadata.NewOutgoingContext(ctx, out)
}

func (t *Telemetry) endAttempt(ctx context.Context, a interceptor.Attempt) {
	call, ok := ctx.Value(ongoingKey{}).(*ongoingCall)
	if !ok {
		return
	}

	t.client.attempt(ctx, call.info.Target, &a)

	span := trace.SpanFromContext(ctx)

	if !t.config.attemptSpans {
		if call.span.IsRecording() {
			call.span.AddEvent("onlyonce.attempt", trace.WithAttributes(append(attemptAttributes(&a), attribute.Int(attrAttempt, a.Number))...))
		}

		return
	}

	if span.IsRecording() {
		span.SetAttributes(attemptAttributes(&a)...)
		fail(span, a.Err)
	}

	span.End()
}

func attemptAttributes(a *interceptor.Attempt) []attribute.KeyValue {
	answer := answerOf(a.Err, a.Status)

	return present([]attribute.KeyValue{
		attribute.String("rpc.response.status_code", answer.code), attribute.String(attrStatus, string(answer.status)),
		attribute.String(attrStop, strings.ReplaceAll(a.Stop.String(), "-", "_")), attribute.Bool(attrNoKit, a.Unconfirmed),
	})
}

func (t *Telemetry) endCall(ctx context.Context, end interceptor.CallEnd) {
	t.client.end(ctx, &end)

	call, ok := ctx.Value(ongoingKey{}).(*ongoingCall)
	if !ok {
		return
	}

	if call.span.IsRecording() {
		answer := answerOf(end.Err, end.Status)

		call.span.SetAttributes(present([]attribute.KeyValue{
			attribute.Int(attrAttempts, end.Attempts), attribute.String(attrStop, stopName(&end)),
			attribute.String(attrStatus, string(answer.status)), attribute.String("rpc.response.status_code", answer.code),
			attribute.String(attrVerdict, onlyonce.VerdictOf(end.Err).String()), attribute.Bool(attrRejected, end.StoppedUnconfirmed),
		})...)
		fail(call.span, end.Err)
	}

	call.span.End()
}

// fail marks a span as failed, with the code only. The text of the error may contain data that must not be in spans.
func fail(span trace.Span, err error) {
	if err != nil {
		name := codeName(status.Code(err))

		span.SetStatus(otelcodes.Error, name)
		span.SetAttributes(attribute.String("error.type", name))
	}
}

// carrier adapts the metadata of a call for a propagator.
type carrier metadata.MD

// Get returns the first value.
func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}

	return ""
}

// Set replaces all values.
func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys returns the names.
func (c carrier) Keys() (keys []string) {
	for key := range c {
		keys = append(keys, key)
	}

	return keys
}

// WatchBudgets reads the retry budgets of all targets whenever metrics are collected. It covers the first 50 targets. Unregister the result
// to stop. The error is that of the meter provider, or reports that budgets is nil.
func (t *Telemetry) WatchBudgets(budgets *retry.Budgets) (metric.Registration, error) {
	if budgets == nil {
		return nil, errors.New("onceotel: WatchBudgets has no budgets: make them with retry.NewBudgets")
	}

	return t.watchTokens(func(yield func(target string, tokens, limit float64)) {
		for target, tokens := range budgets.Tokens() {
			if name := t.client.targets.get(target); name != other {
				yield(name, tokens, budgets.Limit())
			}
		}
	})
}

// WatchBudget is WatchBudgets for a single budget, with a name of your choice.
func (t *Telemetry) WatchBudget(budget *retry.Budget, name string) (metric.Registration, error) {
	if budget == nil {
		return nil, errors.New("onceotel: WatchBudget has no budget: make one with retry.NewBudget")
	}

	return t.watchTokens(func(yield func(target string, tokens, limit float64)) { yield(name, budget.Tokens(), budget.Limit()) })
}

func (t *Telemetry) watchTokens(read func(yield func(target string, tokens, limit float64))) (metric.Registration, error) {
	registration, err := t.client.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		read(func(target string, tokens, limit float64) {
			attrs := metric.WithAttributeSet(attribute.NewSet(attribute.String(attrTarget, target)))
			o.ObserveFloat64(t.client.tokens, tokens, attrs)
			o.ObserveFloat64(t.client.limit, limit, attrs)
		})

		return nil
	}, t.client.tokens, t.client.limit)
	if err != nil {
		return nil, fmt.Errorf("onceotel: watching retry budgets: %w", err)
	}

	return registration, nil
}
