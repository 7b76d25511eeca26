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

// SlogOption changes a [SlogObserver].
type SlogOption func(*slogConfig)

type slogConfig struct{ keys bool }

// SlogReadableKeys writes idempotency keys as they are, as the attribute key, and not as hashes. Keys come from clients and may contain
// what a log must not have, such as names and numbers of cards. Under WithHiddenKeys there are no keys to write.
func SlogReadableKeys() SlogOption { return func(c *slogConfig) { c.keys = true } }

// SlogObserver writes all events to a logger. A nil logger means slog.Default().
//   - Calls are at debug level if they were executed or replayed as usual, and otherwise at info level.
//   - Events that need attention are at warn level.
//   - Keys are hashed: key_hash is the first 16 hexadecimal digits of a key's SHA-256, so that lines about one key can be found together.
//     The attribute id names the record: see Engine.LookupID. SlogReadableKeys writes keys as they are.
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

// AttentionObserver is the observer that an engine has by default, for a program that passes events on to several observers: it writes what
// an operator must know, a few lines a minute of each kind. A nil logger means slog.Default(), as it is when a line is written.
func AttentionObserver(logger *slog.Logger) Observer {
	return attention(func() *slog.Logger { return cmp.Or(logger, slog.Default()) })
}

// attention is the default observer: it writes what an operator must know, a few lines a minute of each kind. The logger is read
// when a line is written, since programs set their default logger late.
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

// needsAttention names what an operator must know of an event, and what to do about it; nothing of most events.
func needsAttention(event *Event) (about, remedy string) {
	switch event.Kind {
	case EventCall:
		return callNeedsAttention(event)
	case EventLeaseLost:
		return event.Kind.String(), "check the store's latency and the process's pauses: another run of the key may have begun"
	case EventSettleFailed:
		return event.Kind.String(), "check the store: the outcome is tried again in the background and is lost if this process ends"
	case EventRecoverFailed:
		return event.Kind.String(), "check the method's Recover function: the outcome of the record stays unknown"
	case EventAttention:
		return event.Kind.String(), "find out what happened and settle the record with Engine.Resolve: no recovery function could"
	case EventTransactionUnused:
		return event.Kind.String(), "use the run's transaction in the handler, or choose another guarantee: the handler's rows did not " +
			"commit with the record"
	case EventShadowMode:
		return event.Kind.String(), "read the ShadowReport, and switch Shadow off when it is good: no call of the method is protected"
	case EventShadow, EventRenewFailed, EventTakeover, EventClaimWithdrawn, EventPendingSettled, EventSchemeDiffers, EventResolved,
		EventConflict, EventForgotten:
	}

	return "", ""
}

func callNeedsAttention(event *Event) (about, remedy string) {
	switch event.Status {
	case StatusUnknown:
		return "unknown outcome", "find out what happened and settle the record with Engine.Resolve, or set a Recover function"
	case StatusUnrecorded:
		return "unrecorded outcome", "check the store: a retry of this call may not get its answer"
	case StatusUnprotected:
		return "unprotected call", "check the store: it is down, and the method runs without protection"
	case StatusRejected:
		if event.Reason == ReasonRecordUnreadable {
			return "damaged record", "look at the record with Engine.LookupID; Engine.ForceForget removes it"
		}

		if (event.Reason == "" || event.Reason == ReasonNotSupported) && event.misconfigured() {
			return "misconfigured method", "change what the error names; every call of the method is refused until then"
		}
	case StatusExecuted, StatusReplayed, StatusReleased:
	}

	return "", ""
}

// misconfigured reports that a call was refused because of the program and not because of the call.
func (e *Event) misconfigured() bool {
	if forbidden := (*forbiddenError)(nil); errors.As(e.Err, &forbidden) {
		return false // it is the replay check's
	}

	_, marked := errors.AsType[interface {
		error
		Misconfigured()
	}](e.Err)

	return marked || errors.Is(e.Err, ErrOwnKey) || errors.Is(e.Err, ErrInTransaction)
}

// misconfiguredError is about a policy that cannot hold.
type misconfiguredError struct{ err error }

func (e *misconfiguredError) Error() string { return e.err.Error() }
func (e *misconfiguredError) Unwrap() error { return e.err }
func (*misconfiguredError) Misconfigured()  {}
