package onlyonce

import (
	"context"
	"log/slog"
)

// SlogObserver writes events to a logger: calls at debug level, or at info level where they were not executed or replayed
// as usual; what needs attention at warn level. A nil logger means slog.Default().
func SlogObserver(logger *slog.Logger) Observer {
	if logger == nil {
		logger = slog.Default()
	}

	return ObserverFunc(func(ctx context.Context, event Event) {
		level := levelOf(&event)
		if !logger.Enabled(ctx, level) {
			return
		}

		attrs := []slog.Attr{slog.String("method", event.Method)}
		add := func(when bool, attr slog.Attr) {
			if when {
				attrs = append(attrs, attr)
			}
		}

		add(event.Key != "", slog.String("key", event.Key))
		add(event.Status != "", slog.String("status", string(event.Status)))
		add(event.Reason != "", slog.String("reason", string(event.Reason)))
		add(event.Fence != 0, slog.Uint64("fence", event.Fence))
		add(event.Kind == EventCall, slog.Duration("total", event.Total))
		add(event.Run != 0, slog.Duration("run", event.Run))

		if event.Err != nil {
			attrs = append(attrs, slog.String("error", event.Err.Error()))
		}

		logger.LogAttrs(ctx, level, "onlyonce: "+event.Kind.String(), attrs...)
	})
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
	case EventPendingSettled, EventResolved, EventSchemeDiffers:
		return slog.LevelInfo
	case EventRenewFailed, EventLeaseLost, EventTakeover, EventSettleFailed, EventClaimWithdrawn,
		EventRecoverFailed:
		return slog.LevelWarn
	default:
		return slog.LevelWarn
	}
}
