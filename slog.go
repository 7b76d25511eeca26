package onlyonce

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// SlogOption is an option of [SlogObserver].
type SlogOption func(*slogConfig)

type slogConfig struct{ keys bool }

// SlogReadableKeys writes idempotency keys as they are, in the attribute key, instead of hashes in key_hash. Keys come from clients and may
// contain data that a log must not have, such as names and card numbers. Under [WithHiddenKeys] neither is written.
func SlogReadableKeys() SlogOption { return func(c *slogConfig) { c.keys = true } }

// SlogObserver returns an observer that writes all events to a logger. A nil logger means slog.Default(), as it is when SlogObserver is
// called.
//   - Debug: calls that were executed or replayed, and calls in shadow mode.
//   - Info: calls that were released or rejected, and EventPendingSettled, EventResolved, EventSchemeDiffers and EventForgotten.
//   - Warn: calls whose status is unknown, unrecorded or unprotected, and all other events.
//
// The attribute id names the record: see [Engine.LookupID]. Keys are hashed: key_hash is the first 16 hexadecimal digits of a key's
// SHA-256, so that lines about one key can be found together. [SlogReadableKeys] writes keys as they are.
func SlogObserver(logger *slog.Logger, opts ...SlogOption) Observer {
	if logger == nil {
		logger = slog.Default()
	}

	var config slogConfig
	for _, opt := range opts {
		opt(&config)
	}

	return ObserverFunc(func(ctx context.Context, event Event) {
		if level := levelOf(&event); logger.Enabled(ctx, level) {
			logger.LogAttrs(ctx, level, "onlyonce: "+event.Kind.String(), config.attrsOf(&event)...)
		}
	})
}

// keyHash stands for a key in logs.
func keyHash(key string) string {
	const digits = 16

	sum := sha256.Sum256([]byte(key))

	return hex.EncodeToString(sum[:])[:digits]
}

func (c slogConfig) attrsOf(event *Event) []slog.Attr {
	attrs := []slog.Attr{slog.String("method", event.Method)}
	add := func(when bool, attr slog.Attr) {
		if when {
			attrs = append(attrs, attr)
		}
	}

	add(event.ID != store.Key{}, slog.String("id", event.ID.String()))

	switch {
	case event.Key == "":
	case c.keys:
		attrs = append(attrs, slog.String("key", event.Key))
	default:
		attrs = append(attrs, slog.String("key_hash", keyHash(event.Key)))
	}

	add(event.Status != "", slog.String("status", string(event.Status)))
	add(event.Reason != "", slog.String("reason", string(event.Reason)))
	add(event.Code != "", slog.String("code", event.Code))
	add(event.Trace != "", slog.String("trace", event.Trace))
	add(event.Fence != 0, slog.Uint64("fence", event.Fence))
	add(event.Kind == EventCall, slog.Duration("total", event.Total))
	add(event.Run != 0, slog.Duration("run", event.Run))
	add(event.Waited != 0, slog.Duration("waited", event.Waited))

	if about := event.Shadow; about != nil {
		attrs = append(attrs, slog.Bool("keyed", about.Keyed), slog.String("code", about.Code), slog.String("class", about.Class.String()))
		add(about.Waited, slog.Bool("waited", true))
		add(about.Differs, slog.Bool("differs", true))
	}

	if event.Err != nil {
		attrs = append(attrs, slog.String("error", event.Err.Error()))
	}

	if rejection, ok := errors.AsType[*Rejection](event.Err); ok && rejection.Cause != nil {
		attrs = append(attrs, slog.String("cause", rejection.Cause.Error()))
	}

	return attrs
}

func levelOf(event *Event) slog.Level {
	switch event.Kind {
	case EventCall:
		switch event.Status {
		case StatusExecuted, StatusReplayed:
			return slog.LevelDebug
		case StatusReleased, StatusRejected:
			return slog.LevelInfo
		case StatusUnknown, StatusUnrecorded, StatusUnprotected:
			return slog.LevelWarn
		default:
			return slog.LevelWarn
		}
	case EventShadow:
		return slog.LevelDebug
	case EventPendingSettled, EventResolved, EventSchemeDiffers, EventForgotten:
		return slog.LevelInfo
	case EventRenewFailed, EventLeaseLost, EventTakeover, EventSettleFailed, EventClaimWithdrawn,
		EventRecoverFailed, EventConflict, EventTransactionUnused, EventAttention, EventShadowMode:
		return slog.LevelWarn
	default:
		return slog.LevelWarn
	}
}

const (
	// attentionLines is how many lines the default observer writes about one kind of event in a minute.
	attentionLines  = 5
	attentionPeriod = time.Minute
)

// AttentionObserver returns the observer that an engine has by default, for a program that passes events on to several observers. It writes
// to the logger what an operator must know, at warn level. A nil logger means slog.Default(), as it is when a line is written.
//   - It writes unknown and unrecorded outcomes, unprotected calls, damaged records, misconfigured methods, and methods in shadow mode.
//   - It writes calls that are refused because the store failed, is full, or has a record of a newer build.
//   - It writes lost leases, settlements and recoveries that fail, transactions that are not used, and EventAttention.
//   - It writes at most 5 lines a minute of each kind. The attribute suppressed counts the others.
//   - The attribute remedy is what to do.
func AttentionObserver(logger *slog.Logger) Observer {
	return attention(func() *slog.Logger { return cmp.Or(logger, slog.Default()) })
}

// attention is the default observer. It reads the logger when it writes a line, because programs set their default logger late.
func attention(logger func() *slog.Logger) Observer {
	var (
		mu     sync.Mutex
		spent  = make(map[string]*budget)
		permit = func(about string) (left int, ok bool) {
			mu.Lock()
			defer mu.Unlock()

			if spent[about] == nil {
				spent[about] = new(budget)
			}

			return spent[about].take(time.Now())
		}
	)

	return ObserverFunc(func(ctx context.Context, event Event) {
		about, remedy := needsAttention(&event)
		if about == "" {
			return
		}

		suppressed, ok := permit(about)
		if !ok {
			return
		}

		attrs := append(slogConfig{}.attrsOf(&event), slog.String("remedy", remedy))
		if suppressed > 0 {
			attrs = append(attrs, slog.Int("suppressed", suppressed))
		}

		logger().LogAttrs(ctx, slog.LevelWarn, "onlyonce: "+about, attrs...)
	})
}

// budget bounds the lines about one thing.
type budget struct {
	since      time.Time
	lines      int
	suppressed int
}

// take reports whether another line may be written, and how many were suppressed since the last one.
func (b *budget) take(now time.Time) (suppressed int, ok bool) {
	if now.Sub(b.since) >= attentionPeriod {
		b.since, b.lines = now, 0
	}

	if b.lines == attentionLines {
		b.suppressed++

		return 0, false
	}

	b.lines++
	suppressed, b.suppressed = b.suppressed, 0

	return suppressed, true
}

// needsAttention names the problem that an operator must know of, and what to do. Both are empty for most events.
func needsAttention(event *Event) (about, remedy string) {
	switch event.Kind {
	case EventCall:
		return callNeedsAttention(event)
	case EventLeaseLost:
		return event.Kind.String(), "another run of the key may have begun: check the latency of the store and the pauses of this process"
	case EventSettleFailed:
		return event.Kind.String(), "the outcome is written again in the background, and is lost if this process ends: check the store"
	case EventRecoverFailed:
		return event.Kind.String(), "the outcome of the record stays unknown: check the method's Recover function"
	case EventAttention:
		return event.Kind.String(), "no recovery function could settle the record: find out what happened and settle it with Engine.Resolve"
	case EventTransactionUnused:
		return event.Kind.String(), "the handler's rows did not commit with the record: use the run's transaction in the handler, or choose " +
			"another guarantee"
	case EventShadowMode:
		return event.Kind.String(), "no call of the method is protected: read the ShadowReport, and switch Shadow off when the report is good"
	case EventShadow, EventRenewFailed, EventTakeover, EventClaimWithdrawn, EventPendingSettled, EventSchemeDiffers, EventResolved,
		EventConflict, EventForgotten:
	}

	return "", ""
}

func callNeedsAttention(event *Event) (about, remedy string) {
	switch event.Status {
	case StatusUnknown:
		if event.Reason == "" { // the end of a run, whose guarantee decides whether the key is held
			return "unknown outcome", "under AT_MOST_ONCE, find out what happened and settle the record with onlyonce resolve or " +
				"Engine.Resolve, or set a Recover function; under another guarantee, the next call with the key runs"
		}

		return "unknown outcome", "find out what happened and settle the record with onlyonce resolve or Engine.Resolve, or set a " +
			"Recover function"
	case StatusUnrecorded:
		return "unrecorded outcome", "a retry of this call may not get its answer: check the store"
	case StatusUnprotected:
		return "unprotected call", "the store is down, and the method runs without protection: check the store"
	case StatusRejected:
		if event.Reason == ReasonRecordUnreadable {
			return "damaged record", "every call with the key is refused: look at it with Engine.LookupID, remove it with Engine.ForceForget"
		}

		if event.refusedByStore() {
			return "store failure", "keyed calls are refused, and their clients retry: check the store, whose error is the cause"
		}

		if (event.Reason == "" || event.Reason == ReasonNotSupported) && event.misconfigured() {
			return "misconfigured method", "calls of the method are refused: change what the error names"
		}
	case StatusExecuted, StatusReplayed, StatusReleased:
	}

	return "", ""
}

// refusedByStore reports that a call was refused because of an error of the store. A server that is shutting down refuses calls without
// an error of the store.
func (e *Event) refusedByStore() bool {
	rejection, ok := errors.AsType[*Rejection](e.Err)

	return ok && rejection.Cause != nil && (e.Reason == ReasonStoreUnavailable || e.Reason == ReasonStoreFull || e.Reason == ReasonRecordNewer)
}

// misconfigured reports that a call was refused because of an error in the program.
func (e *Event) misconfigured() bool {
	if forbidden := (*forbiddenError)(nil); errors.As(e.Err, &forbidden) {
		return false // the error of a ReplayCheck
	}

	_, marked := errors.AsType[interface {
		error
		Misconfigured()
	}](e.Err)

	return marked || errors.Is(e.Err, ErrOwnKey) || errors.Is(e.Err, ErrInTransaction)
}

// misconfiguredError is the error of a policy that cannot hold.
type misconfiguredError struct{ err error }

func (e *misconfiguredError) Error() string { return e.err.Error() }
func (e *misconfiguredError) Unwrap() error { return e.err }
func (*misconfiguredError) Misconfigured()  {}
