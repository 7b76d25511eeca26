package onceotel

import (
	"context"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Attributes of spans only.
const (
	attrFence    = "onlyonce.fence"
	attrReplayed = "onlyonce.replayed"
	attrCode     = "onlyonce.code"
	attrRecord   = "onlyonce.record.id"
	attrLink     = "onlyonce.link"
	attrAttempt  = "onlyonce.attempt"
	attrAttempts = "onlyonce.attempts"
	attrVerdict  = "onlyonce.verdict"
	attrRejected = "onlyonce.stopped_unconfirmed"
	attrNoKit    = "onlyonce.unprotected"
)

// describe adds an event to the current span.
func describe(ctx context.Context, event *onlyonce.Event) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}

	if event.Kind != onlyonce.EventCall {
		span.AddEvent("onlyonce."+eventName(event.Kind, true), trace.WithAttributes(spanAttributes(event)...))

		return
	}

	span.SetAttributes(spanAttributes(event)...)

	if original := parseTraceparent(event.Trace); original.IsValid() { //nolint:contextcheck // the trace is not that of ctx
		span.AddLink(trace.Link{SpanContext: original, Attributes: []attribute.KeyValue{attribute.String(attrLink, "original")}})
	}
}

// spanAttributes returns the fields of an event that spans may contain.
func spanAttributes(event *onlyonce.Event) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 6) // the maximum

	if event.Status != "" {
		attrs = append(attrs, attribute.String(attrStatus, string(event.Status)),
			attribute.Bool(attrReplayed, event.Status == onlyonce.StatusReplayed))
	}

	if event.Reason != "" {
		attrs = append(attrs, attribute.String(attrReason, string(event.Reason)))
	}

	if event.Fence != 0 {
		attrs = append(attrs, attribute.Int64(attrFence, int64(min(event.Fence, math.MaxInt64))))
	}

	if event.Code != "" {
		attrs = append(attrs, attribute.String(attrCode, event.Code))
	}

	if event.ID != (store.Key{}) {
		attrs = append(attrs, attribute.String(attrRecord, event.ID.String()))
	}

	return attrs
}

// traceparentKey is the header of W3C Trace Context.
const traceparentKey = "traceparent"

// Traceparent returns the context of the current span in the form of W3C Trace Context, for onlyonce.WithTrace. It is empty if there is no
// span, or if the span is not sampled. It adds about 60 bytes to a record.
//
// See https://www.w3.org/TR/trace-context/#traceparent-header.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}

	carrier := make(propagation.MapCarrier, 2) // the other key is tracestate
	propagation.TraceContext{}.Inject(ctx, carrier)

	return carrier[traceparentKey]
}

// parseTraceparent returns the span context of a traceparent. It is invalid if the text is invalid.
func parseTraceparent(text string) trace.SpanContext {
	if text == "" {
		return trace.SpanContext{}
	}

	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparentKey: text})

	return trace.SpanContextFromContext(ctx)
}
