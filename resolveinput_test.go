package onlyonce_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// heldEngine is an engine with a record "k" whose outcome is unknown.
func heldEngine(t *testing.T, p *payments, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	e := newEngine(t, memstore.New(), opts...)
	do(t, e, pay("k"), p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

	return e
}

// A record that expires at once would be absent, and the next duplicate would run again.
func TestF28ResolveRefusesARetentionThatCannotHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		e := heldEngine(t, &p)
		resolution := onlyonce.Resolution{Fence: 1, Executed: true, Code: "OK", Body: []byte("paid")}

		for retention, want := range map[time.Duration]string{
			-1:                            "MaxRun",
			onlyonce.DefaultMaxRun - 1:    "MaxRun",
			100*365*24*time.Hour + 1:      "100 years",
			-100 * 365 * 24 * time.Hour:   "MaxRun",
			time.Duration(1<<63 - 1):      "100 years",
			time.Duration(-1 << 63):       "MaxRun",
			onlyonce.DefaultLease:         "MaxRun",
			time.Nanosecond:               "MaxRun",
			onlyonce.DefaultMaxRun - 1000: "MaxRun",
		} {
			resolution.Retention = retention
			if err := e.Resolve(t.Context(), identity("k"), resolution); err == nil ||
				!strings.Contains(err.Error(), "Retention") || !strings.Contains(err.Error(), want) {
				t.Errorf("Resolve with a retention of %v: %v, want an error that says %q", retention, err, want)
			}
		}

		mustBeState(t, e, store.Unknown)

		resolution.Retention = onlyonce.DefaultMaxRun
		if err := e.Resolve(t.Context(), identity("k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "paid")
		p.mustHaveRun(t, 1)
	})
}

func TestResolveWithoutARetentionTakesTheEngines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		e := heldEngine(t, &p, onlyonce.WithPolicy(onlyonce.Policy{Retention: time.Hour}))
		resolution := onlyonce.Resolution{Fence: 1, Executed: true, Code: "OK", Body: []byte("paid")}

		if err := e.Resolve(t.Context(), identity("k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		if rec := record(t, e, "k"); rec.ExpiresAt.Sub(rec.EndedAt) != time.Hour {
			t.Errorf("the record is kept for %v, want an hour", rec.ExpiresAt.Sub(rec.EndedAt))
		}
	})
}

func TestF34ResolveRefusesAnAnswerOverTheCap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		e := heldEngine(t, &p, onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 4}))
		resolution := onlyonce.Resolution{Fence: 1, Executed: true, Code: "OK", Body: []byte("paid!")}

		err := e.Resolve(t.Context(), identity("k"), resolution)
		if err == nil || !strings.Contains(err.Error(), "5 bytes") || !strings.Contains(err.Error(), "MaxOutcome") {
			t.Errorf("Resolve: %v, want an error that names the size and MaxOutcome", err)
		}

		mustBeState(t, e, store.Unknown)

		resolution.Body = []byte("paid")
		if err := e.Resolve(t.Context(), identity("k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "paid")
	})
}
