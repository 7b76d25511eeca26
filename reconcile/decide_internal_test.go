package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestResultNamesWhatRecoverReturns(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		found onlyonce.Finding
		err   error
		ended bool
		want  result
	}{
		{onlyonce.Happened("OK", nil), nil, false, resultSettled},
		{onlyonce.Happened("OK", nil), nil, true, resultSettled},
		{onlyonce.DidNotHappen(), nil, false, resultSettled},
		{onlyonce.StillUnknown(), nil, false, resultStill},
		{onlyonce.Finding{}, onlyonce.ErrNoRecovery, false, resultNoRecovery},
		{onlyonce.Finding{}, onlyonce.ErrRecoveryElsewhere, false, resultElsewhere},
		{onlyonce.Finding{}, onlyonce.ErrNotUnknown, false, resultGone},
		{onlyonce.Finding{}, onlyonce.ErrRecordChanged, false, resultGone},
		{onlyonce.Finding{}, onlyonce.ErrOwnerMayBeAlive, false, resultEarly},
		{onlyonce.Finding{}, onlyonce.ErrDraining, false, resultStopped},
		{onlyonce.Finding{}, context.Canceled, true, resultStopped},
		{onlyonce.Finding{}, context.DeadlineExceeded, true, resultStopped},
		{onlyonce.Finding{}, context.Canceled, false, resultFailed}, // the provider's client was cancelled, not Run
		{onlyonce.Finding{}, context.DeadlineExceeded, false, resultFailed},
		{onlyonce.Finding{}, errors.New("down"), false, resultFailed},
	} {
		if tt.err != nil {
			tt.err = fmt.Errorf("wrapped: %w", tt.err)
		}

		if got := resultOf(tt.found, tt.err, tt.ended); got != tt.want {
			t.Errorf("%v, %v: got %d, want %d", tt.found, tt.err, got, tt.want)
		}
	}
}

func TestWaitsDoubleUpToTheirBounds(t *testing.T) {
	t.Parallel()

	const interval = 10 * time.Second

	for failures, want := range map[int]time.Duration{
		0: 0, 1: 0, 2: 0, 3: interval, 4: 2 * interval, 5: 4 * interval, 8: 320 * time.Second, 9: backoffMost, 1_000: backoffMost,
	} {
		if got := backoffAfter(interval, failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}

	for still, want := range map[int]time.Duration{1: interval, 2: 2 * interval, 5: 160 * time.Second, 6: patienceMost, 1_000: patienceMost} {
		if got := patience(interval, still); got != want {
			t.Errorf("after %d times: %v, want %v", still, got, want)
		}
	}

	if got := patience(24*time.Hour, 9); got != 12*time.Hour {
		t.Errorf("with a long interval: %v", got)
	}

	for range 1_000 {
		if got := spread(interval); got < interval/2 || got > interval/2+interval {
			t.Fatalf("spread: %v", got)
		}
	}
}

func TestSpacingNeverWrapsAround(t *testing.T) {
	t.Parallel()

	for rate, want := range map[float64]time.Duration{
		100: 10 * time.Millisecond, 0.5: 2 * time.Second, 1e-300: 365 * 24 * time.Hour, math.SmallestNonzeroFloat64: 365 * 24 * time.Hour,
	} {
		if got := spacing(rate); got != want {
			t.Errorf("%v a second: %v, want %v", rate, got, want)
		}
	}
}

func TestWhatIsRememberedOfARecord(t *testing.T) {
	t.Parallel()

	const interval, ownerAlive = 10 * time.Second, 7 * time.Second

	now := time.Unix(1_000, 0)

	for what, want := range map[result]struct {
		still, fails int
		waits        bool
	}{
		resultStill: {3, 0, true}, resultEarly: {2, 0, true}, resultFailed: {2, 5, false}, resultElsewhere: {2, 4, false},
		resultStopped: {2, 4, false}, resultNoRecovery: {2, 4, false}, resultGone: {2, 4, false}, resultSettled: {2, 4, false},
	} {
		got := remembered{still: 2, fails: 4}.after(what, now, interval, ownerAlive)
		if got.still != want.still || got.fails != want.fails || got.next.After(now) != want.waits {
			t.Errorf("after %d: got %+v", what, got)
		}

		if what == resultEarly && !got.next.Equal(now.Add(ownerAlive)) {
			t.Errorf("it is recovered again at %v, want when the owner is surely dead", got.next)
		}
	}

	if got := (remembered{}).after(resultEarly, now, interval, -time.Hour); !got.next.Equal(now) {
		t.Errorf("of an owner that is dead already: %v", got.next)
	}
}

func TestBackoffOfAMethod(t *testing.T) {
	t.Parallel()

	const interval = time.Second

	now := time.Unix(1_000, 0)
	waiting := backoff{failures: 3, until: now.Add(time.Second)}

	for name, tt := range map[string]struct {
		before   backoff
		what     result
		failures int
		waits    bool
	}{
		"the first failure":                     {backoff{}, resultFailed, 1, false},
		"the third failure":                     {backoff{failures: 2}, resultFailed, 3, true},
		"a failure while it waits":              {waiting, resultFailed, 3, true},
		"a failure after it has waited":         {backoff{failures: 3, until: now}, resultFailed, 4, true},
		"a success":                             {waiting, resultSettled, 0, false},
		"an answer that decides nothing":        {waiting, resultStill, 0, false},
		"an answer that comes too early":        {waiting, resultEarly, 0, false},
		"a record that another process has":     {waiting, resultElsewhere, 3, true},
		"a record that somebody else settled":   {waiting, resultGone, 3, true},
		"a record that is not recovered at all": {waiting, resultStopped, 3, true},
	} {
		got := tt.before.after(tt.what, now, interval)
		if got.failures != tt.failures || now.Before(got.until) != tt.waits {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestUnknownSince(t *testing.T) {
	t.Parallel()

	first, second, third := time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)

	for _, tt := range []struct {
		rec  store.Record
		want time.Time
	}{
		{store.Record{State: store.Running, LastStart: first, LeaseUntil: second, EndedAt: third}, second},
		{store.Record{State: store.Unknown, LastStart: first, LeaseUntil: second, EndedAt: third}, third},
		{store.Record{State: store.Unknown, LastStart: first, LeaseUntil: second}, first},
	} {
		if got := unknownSince(&onlyonce.Record{Record: tt.rec}); !got.Equal(tt.want) {
			t.Errorf("%+v: got %v", tt.rec, got)
		}
	}
}
