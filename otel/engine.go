package onceotel

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlyonce-go/onlyonce"
)

// engineMetrics are the metrics of engine events.
type engineMetrics struct {
	calls, events, shadows  metric.Int64Counter
	overhead, handler, wait metric.Float64Histogram

	methods bounded[string, *engineMethod]
}

// engineMethod has the labels of one method.
type engineMethod struct {
	method  attribute.KeyValue
	waited  labels
	calls   bounded[callKind, *callLabels]
	events  bounded[onlyonce.EventKind, labels]
	shadows bounded[shadowKind, labels]
}

// callKind is how a call ended.
type callKind struct {
	status onlyonce.Status
	reason onlyonce.Reason
}

// callLabels are the labels of a kind of call. Durations have no reason.
type callLabels struct{ count, duration labels }

// shadowKind is how a call in shadow mode would have ended.
type shadowKind struct {
	callKind

	class   onlyonce.Class
	differs bool
}

func (m *engineMetrics) init(from *instruments, known func(string) bool) {
	m.calls = from.counter("onlyonce.calls")
	m.overhead = from.histogram("onlyonce.call.overhead.duration", shortTimes)
	m.handler = from.histogram("onlyonce.handler.duration", longTimes)
	m.wait = from.histogram("onlyonce.call.wait.duration", longTimes)
	m.events = from.counter("onlyonce.events")
	m.shadows = from.counter("onlyonce.shadow.calls")

	m.methods = bounded[string, *engineMethod]{most: maxMethods, known: known, make: newEngineMethod}
}

func newEngineMethod(name string, known bool) *engineMethod {
	method := attribute.String(attrMethod, methodName(name, known))

	return &engineMethod{
		method: method,
		waited: labelsOf(method),
		calls: bounded[callKind, *callLabels]{most: maxKinds, make: func(kind callKind, known bool) *callLabels {
			status, reason := kind.attributes(known)

			return &callLabels{count: labelsOf(method, status, reason), duration: labelsOf(method, status)}
		}},
		events: bounded[onlyonce.EventKind, labels]{most: maxKinds, make: func(kind onlyonce.EventKind, known bool) labels {
			return labelsOf(method, attribute.String(attrEvent, eventName(kind, known)))
		}},
		shadows: bounded[shadowKind, labels]{most: 2 * maxKinds, make: func(kind shadowKind, known bool) labels {
			status, reason := kind.attributes(known)

			return labelsOf(method, status, reason, attribute.String(attrClass, snake(kind.class.String())),
				attribute.Bool(attrDiffers, kind.differs))
		}},
	}
}

// attributes returns the status and the reason, as far as they are known.
func (k callKind) attributes(known bool) (status, reason attribute.KeyValue) {
	if !known {
		return attribute.String(attrStatus, other), attribute.String(attrReason, "")
	}

	return attribute.String(attrStatus, string(k.status)), attribute.String(attrReason, string(k.reason))
}

// eventName returns the label of an event kind, such as "lease_lost".
func eventName(kind onlyonce.EventKind, known bool) string {
	if !known {
		return other
	}

	if name := kind.String(); !strings.ContainsRune(name, '(') {
		return snake(name)
	}

	return "kind_" + strconv.Itoa(int(kind))
}

func snake(name string) string { return strings.ReplaceAll(name, " ", "_") }

// observe counts an event.
func (m *engineMetrics) observe(ctx context.Context, event *onlyonce.Event) {
	method := m.methods.get(event.Method)

	switch event.Kind {
	case onlyonce.EventCall:
		m.call(ctx, method, event)
	case onlyonce.EventShadow:
		kind := shadowKind{callKind: callKind{event.Status, event.Reason}}
		if about := event.Shadow; about != nil {
			kind.class, kind.differs = about.Class, about.Differs
		}

		m.shadows.Add(ctx, 1, method.shadows.get(kind).add...)
	default:
		m.events.Add(ctx, 1, method.events.get(event.Kind).add...)
	}
}

func (m *engineMetrics) call(ctx context.Context, method *engineMethod, event *onlyonce.Event) {
	kind := method.calls.get(callKind{event.Status, event.Reason})

	m.calls.Add(ctx, 1, kind.count.add...)
	m.overhead.Record(ctx, max(event.Total-event.Run-event.Waited, 0).Seconds(), kind.duration.record...)

	if event.Run > 0 {
		m.handler.Record(ctx, event.Run.Seconds(), kind.duration.record...)
	}

	if event.Waited > 0 {
		m.wait.Record(ctx, event.Waited.Seconds(), method.waited.record...)
	}
}

// EngineOptions returns engine options for telemetry: Observer(also...) and [Traceparent].
//
// Deploy this version to all servers before you use it, because records get traceparents: see onlyonce.WithTrace. Until then, use Observer
// alone.
func (t *Telemetry) EngineOptions(also ...onlyonce.Observer) []onlyonce.Option {
	return []onlyonce.Option{onlyonce.WithObserver(t.Observer(also...)), onlyonce.WithTrace(Traceparent)}
}

// Observer returns an observer that makes metrics of all events and passes the events on to the other observers. An engine with an observer
// no longer logs what needs attention. To keep the log, pass onlyonce.AttentionObserver(nil) or onlyonce.SlogObserver(nil).
//
// It makes no span. It describes the call on the current span of the context, such as the span of otelgrpc:
//   - Attributes are onlyonce.status, onlyonce.reason, onlyonce.fence, onlyonce.replayed, onlyonce.code and onlyonce.record.id.
//     Engine.LookupID finds the record by this ID. Keys and scopes are left out.
//   - A replay links to the span of the call that ran, if its record has the trace: see [Traceparent].
//   - Events during the call, such as a lost lease or a takeover, become events of the span.
func (t *Telemetry) Observer(also ...onlyonce.Observer) onlyonce.Observer {
	also = slices.DeleteFunc(slices.Clone(also), func(o onlyonce.Observer) bool { return o == nil })

	return onlyonce.ObserverFunc(func(ctx context.Context, event onlyonce.Event) {
		t.engine.observe(ctx, &event)
		describe(ctx, &event)

		for _, observer := range also {
			observer.Observe(ctx, event)
		}
	})
}
