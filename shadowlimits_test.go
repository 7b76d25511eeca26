package onlyonce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

func TestShadowModeCostsTheStoreWhatRealModeCosts(t *testing.T) {
	t.Parallel()

	count := func(t *testing.T, s *shadowStage, what string, want int) {
		t.Helper()
		synctest.Wait()

		got := 0
		for _, op := range everyOperation() {
			got += s.store.count(op)
		}

		if got != want {
			t.Errorf("%s: %d operations of the store so far, want %d", what, got, want)
		}
	}

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		_, _ = s.Do(t.Context(), pay("k"), handler.do)
		count(t, s, "a first call", 2)

		_, _ = s.Do(t.Context(), pay("k"), handler.do)
		count(t, s, "a duplicate", 3)

		_, _ = s.Do(t.Context(), pay(""), handler.do)
		count(t, s, "a call without a key", 3)

		_, _ = s.Do(t.Context(), pay("ambiguous"), handler.failing(errors.New("the bank is silent")))
		count(t, s, "an ambiguous end", 5)

		_, _ = s.Do(t.Context(), pay("renewed"), handler.lasting(12*time.Second))
		count(t, s, "a run of 12 seconds, with two renewals", 9)
	})
}

func TestShadowModeObservesNoMoreCallsThanItMayHold(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var (
			handler payments
			seen    watcher
		)

		stuck := newFaultStore()
		stuck.broken(hanging, opClaim)

		e := newEngine(t, stuck, shadowed(onlyonce.Policy{}), onlyonce.WithObserver(&seen), onlyonce.WithLimits(onlyonce.Limits{MaxPending: 2}))

		for i := range 3 {
			if _, err := e.Do(t.Context(), pay(strconv.Itoa(i)), handler.do); err != nil {
				t.Error(err)
			}
		}

		if event := seen.last(t); !errors.Is(event.Err, onlyonce.ErrShadowFull) || event.Status != "" {
			t.Errorf("%+v; want a call that was not observed", event)
		}

		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}

		if n := stuck.count(opClaim); n > 6 {
			t.Errorf("%d claims were sent for 2 calls", n)
		}
	})
}

func TestShadowReportIsBounded(t *testing.T) {
	t.Parallel()

	var report onlyonce.ShadowReport

	for i := range 5_000 {
		report.Observe(t.Context(), onlyonce.Event{
			Kind: onlyonce.EventShadow, Method: fmt.Sprintf("/m/%d", i%1_500), Status: onlyonce.StatusExecuted,
			Shadow: &onlyonce.Shadowed{Keyed: true, Code: strings.Repeat("x", 1_000)},
		})
		report.Observe(t.Context(), onlyonce.Event{
			Kind: onlyonce.EventShadow, Method: "/m/0", Status: onlyonce.StatusUnknown, Shadow: &onlyonce.Shadowed{Code: strconv.Itoa(i)},
		})
	}

	methods := report.Methods()
	if len(methods) > 1_001 || len(methods[1].Ambiguous) > 33 {
		t.Errorf("%d methods, %d codes", len(methods), len(methods[1].Ambiguous))
	}

	data, err := json.Marshal(&report)
	if err != nil || !json.Valid(data) {
		t.Errorf("the report is not JSON: %v", err)
	}
}

func TestShadowModeHoldsNoMoreAnswersThanItMay(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var seen watcher

		large := func(context.Context) ([]byte, error) { return make([]byte, 100), nil }
		e := newEngine(t, newFaultStore(), shadowed(onlyonce.Policy{}), onlyonce.WithObserver(&seen),
			onlyonce.WithLimits(onlyonce.Limits{MaxPending: 1, MaxPendingBytes: 99}))

		for range 2 {
			if got, err := e.Do(t.Context(), pay("k"), large); err != nil || len(got.Body) != 100 {
				t.Errorf("%d bytes, %v", len(got.Body), err)
			}

			synctest.Wait()
		}

		if event := seen.last(t); event.Reason != onlyonce.ReasonOutcomeNotStored {
			t.Errorf("%q %v; want a duplicate whose answer is not kept", event.Reason, event.Err)
		}

		small := func(context.Context) ([]byte, error) { return make([]byte, 60), nil }
		for i := range 4 { // the room of earlier answers and calls is free again
			_, _ = e.Do(t.Context(), pay(fmt.Sprint("small-", i/2)), small)

			synctest.Wait()
		}

		if event := seen.last(t); event.Status != onlyonce.StatusReplayed || !event.Shadow.Compared {
			t.Errorf("%+v; want a replay", event)
		}
	})
}

// A table of a few calls must not look like a report of all calls.
func TestShadowReportCountsTheCallsThatWereNotObserved(t *testing.T) {
	var report onlyonce.ShadowReport

	if text := report.String(); strings.Contains(text, "NOT OBSERVED") {
		t.Errorf("the empty report is %q", text)
	}

	event := onlyonce.Event{
		Kind: onlyonce.EventShadow, Method: "/bank/Pay", Status: onlyonce.StatusExecuted,
		Shadow: &onlyonce.Shadowed{Keyed: true},
	}
	report.Observe(t.Context(), event)

	event.Status, event.Err = "", onlyonce.ErrShadowFull
	report.Observe(t.Context(), event)

	if text := report.String(); !strings.HasSuffix(text, "\nNOT OBSERVED: 1 of 2 calls of /bank/Pay\n") {
		t.Errorf("the report is %q", text)
	}
}
