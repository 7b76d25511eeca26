package onlyonce_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestEveryCallIsObservedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		e := newEngine(t, memstore.New(), onlyonce.WithObserver(seen))

		var p payments

		running := inBackground(t.Context(), e, pay("k"), p.lasting(time.Second))

		synctest.Wait()

		waiting := inBackground(t.Context(), e, pay("k"), p.do)

		<-running
		<-waiting

		_ = do(t, e, payOther("k"), p.do)
		_ = do(t, e, pay("n"), p.failing(onlyonce.NotExecuted(errLine)))
		_ = do(t, e, pay("u"), p.failing(errLine))
		_ = do(t, e, pay("bad key"), p.do)

		type line struct {
			key    string
			status onlyonce.Status
			reason onlyonce.Reason
			fence  uint64

			total, run, waited time.Duration
		}

		got := make(map[line]int)

		for _, event := range seen.of(onlyonce.EventCall) {
			if event.Method != method {
				t.Errorf("the method is %q", event.Method)
			}

			got[line{event.Key, event.Status, event.Reason, event.Fence, event.Total, event.Run, event.Waited}]++
		}

		for _, want := range []line{
			{"k", onlyonce.StatusExecuted, "", 1, time.Second, time.Second, 0},
			{"k", onlyonce.StatusReplayed, "", 0, time.Second, 0, time.Second},
			{"k", onlyonce.StatusRejected, onlyonce.ReasonKeyReused, 0, 0, 0, 0},
			{"n", onlyonce.StatusReleased, "", 1, 0, 0, 0},
			{"u", onlyonce.StatusUnknown, "", 1, 0, 0, 0},
			{"", onlyonce.StatusRejected, onlyonce.ReasonKeyInvalid, 0, 0, 0, 0},
		} {
			if got[want] != 1 {
				t.Errorf("%d times %+v, want once; all: %+v", got[want], want, got)
			}

			delete(got, want)
		}

		if len(got) != 0 {
			t.Errorf("unexpected: %+v", got)
		}
	})
}

func TestHiddenKeysAreInNoEventAndNoRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := new(journal)
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithHiddenKeys(), onlyonce.WithObserver(seen))

		var p payments

		s.next(opHold, lostRequest)
		_ = do(t, e, pay("card-4711"), p.failing(errLine))
		time.Sleep(time.Second)

		if err := e.Resolve(t.Context(), record(t, e, "card-4711"), onlyonce.Happened("OK", nil)); err != nil {
			t.Error(err)
		}

		_ = do(t, e, pay("card-4711"), p.do)

		for _, kind := range []onlyonce.EventKind{
			onlyonce.EventCall, onlyonce.EventSettleFailed, onlyonce.EventPendingSettled, onlyonce.EventResolved,
		} {
			events := seen.of(kind)
			if len(events) == 0 {
				t.Errorf("no event %q", kind)
			}

			for _, event := range events {
				if event.Key != "" || event.Method != method {
					t.Errorf("%+v", event)
				}
			}
		}

		if rec := record(t, e, "card-4711"); rec.ReadableKey != "" {
			t.Errorf("the record has the key %q", rec.ReadableKey)
		}
	})
}

func TestEngineWithoutAnObserverObservesNothing(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(), onlyonce.WithObserver(nil))

	var p payments

	do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
}

// Every event of these calls panics: of the run, of its outcome that is stored late, and of a claim that is withdrawn.
func TestObserverThatPanicsChangesNothing(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)

	var log bytes.Buffer

	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))

	synctest.Test(t, func(t *testing.T) {
		s := newFaultStore()
		e := newEngine(t, s, onlyonce.WithObserver(onlyonce.ObserverFunc(func(context.Context, onlyonce.Event) { panic("a metric") })))

		var p payments

		s.broken(lostRequest, opComplete)
		do(t, e, pay("late"), p.do).mustBe(t, onlyonce.StatusUnrecorded, "#1")
		s.broken(nil, opComplete)

		s.broken(lostReply, opClaim)
		do(t, e, pay("withdrawn"), p.do).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		s.broken(nil, opClaim)

		time.Sleep(time.Minute)
		do(t, e, pay("late"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")
		do(t, e, pay("withdrawn"), p.do).mustBe(t, onlyonce.StatusExecuted, "#2")

		if n := e.Pending(); n != 0 {
			t.Errorf("%d settlements are pending", n)
		}
	})

	for _, kind := range []onlyonce.EventKind{
		onlyonce.EventCall, onlyonce.EventSettleFailed, onlyonce.EventClaimWithdrawn, onlyonce.EventPendingSettled,
	} {
		if !strings.Contains(log.String(), kind.String()) {
			t.Errorf("the log does not tell of the panic in %v", kind)
		}
	}
}

func TestSlogObserverLogsTheFieldsOfAnEventAtItsLevel(t *testing.T) {
	t.Parallel()

	event := func(kind onlyonce.EventKind) onlyonce.Event { return onlyonce.Event{Kind: kind, Method: "/pay"} }
	ended := func(status onlyonce.Status) onlyonce.Event {
		return onlyonce.Event{Kind: onlyonce.EventCall, Method: "/pay", Status: status}
	}

	for _, tt := range []struct {
		event onlyonce.Event
		want  string
	}{
		{
			onlyonce.Event{
				Kind: onlyonce.EventCall, Method: "/pay", Status: onlyonce.StatusExecuted, Fence: 3, Total: 2 * time.Second, Run: time.Second,
			},
			`level=DEBUG msg="onlyonce: call" method=/pay status=executed fence=3 total=2s run=1s`,
		},
		{
			onlyonce.Event{Kind: onlyonce.EventCall, Method: "/pay", Key: "k", Status: onlyonce.StatusReplayed},
			`level=DEBUG msg="onlyonce: call" method=/pay key_hash=8254c329a92850f6 status=replayed total=0s`,
		},
		{
			onlyonce.Event{
				Kind: onlyonce.EventCall, Method: "/pay", Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonKeyReused, Err: errLine,
			},
			`level=INFO msg="onlyonce: call" method=/pay status=rejected reason=IDEMPOTENCY_KEY_REUSED total=0s error="the line is dead"`,
		},
		{
			onlyonce.Event{
				Kind: onlyonce.EventCall, Method: "/pay", Status: onlyonce.StatusRejected, Reason: onlyonce.ReasonStoreUnavailable,
				Err: &onlyonce.Rejection{Reason: onlyonce.ReasonStoreUnavailable, Message: "retry", Cause: errLine},
			},
			`level=INFO msg="onlyonce: call" method=/pay status=rejected reason=IDEMPOTENCY_STORE_UNAVAILABLE total=0s ` +
				`error="IDEMPOTENCY_STORE_UNAVAILABLE: retry" cause="the line is dead"`,
		},
		{ended(onlyonce.StatusReleased), `level=INFO msg="onlyonce: call" method=/pay status=released total=0s`},
		{ended(onlyonce.StatusUnknown), `level=WARN msg="onlyonce: call" method=/pay status=unknown total=0s`},
		{ended(onlyonce.StatusUnrecorded), `level=WARN msg="onlyonce: call" method=/pay status=unrecorded total=0s`},
		{ended(onlyonce.StatusUnprotected), `level=WARN msg="onlyonce: call" method=/pay status=unprotected total=0s`},
		{ended("odd"), `level=WARN msg="onlyonce: call" method=/pay status=odd total=0s`},
		{
			onlyonce.Event{Kind: onlyonce.EventRenewFailed, Method: "/pay", Err: errLine},
			`level=WARN msg="onlyonce: renewal failed" method=/pay error="the line is dead"`,
		},
		{event(onlyonce.EventLeaseLost), `level=WARN msg="onlyonce: lease lost" method=/pay`},
		{event(onlyonce.EventTakeover), `level=WARN msg="onlyonce: takeover" method=/pay`},
		{event(onlyonce.EventSettleFailed), `level=WARN msg="onlyonce: settlement failed" method=/pay`},
		{event(onlyonce.EventClaimWithdrawn), `level=WARN msg="onlyonce: claim withdrawn" method=/pay`},
		{event(onlyonce.EventPendingSettled), `level=INFO msg="onlyonce: pending settled" method=/pay`},
		{event(onlyonce.EventSchemeDiffers), `level=INFO msg="onlyonce: fingerprint scheme differs" method=/pay`},
		{event(onlyonce.EventResolved), `level=INFO msg="onlyonce: resolved" method=/pay`},
		{event(99), `level=WARN msg="onlyonce: EventKind(99)" method=/pay`},
	} {
		var out bytes.Buffer

		onlyonce.SlogObserver(slog.New(handlerWithoutTime(&out, slog.LevelDebug))).Observe(t.Context(), tt.event)

		if got := strings.TrimSpace(out.String()); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestSlogObserverKeepsQuietBelowTheLevel(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer

	observer := onlyonce.SlogObserver(slog.New(handlerWithoutTime(&out, slog.LevelInfo)))
	observer.Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventCall, Status: onlyonce.StatusExecuted})

	if out.Len() != 0 {
		t.Errorf("got %s", out.String())
	}
}

func TestSlogObserverUsesTheDefaultLogger(t *testing.T) {
	var out bytes.Buffer

	before := slog.Default()
	defer slog.SetDefault(before)

	slog.SetDefault(slog.New(handlerWithoutTime(&out, slog.LevelDebug)))
	onlyonce.SlogObserver(nil).Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventTakeover})

	if !strings.Contains(out.String(), "onlyonce: takeover") {
		t.Errorf("got %q", out.String())
	}
}

func handlerWithoutTime(out *bytes.Buffer, level slog.Level) slog.Handler {
	return slog.NewTextHandler(out, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey {
				return slog.Attr{}
			}

			return attr
		},
	})
}

func TestObserverFuncIsCalledWithTheCallersContext(t *testing.T) {
	t.Parallel()

	ctx := context.WithValue(t.Context(), testKey{}, "trace")

	var got any

	e := newEngine(t, memstore.New(), onlyonce.WithObserver(onlyonce.ObserverFunc(
		func(ctx context.Context, _ onlyonce.Event) { got = ctx.Value(testKey{}) })))

	_, _ = e.Do(ctx, pay("k"), new(payments).do)

	if got != "trace" {
		t.Errorf("the observer's context has %v", got)
	}
}
