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

// A record is kept for the retention of its method, also if an operator settles it.
func TestF61ResolvedRecordIsKeptForTheRetentionOfItsMethod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		const week = 7 * 24 * time.Hour

		e := newEngine(t, memstore.New())
		call := pay("k")
		call.Policy = &onlyonce.Policy{Retention: week}

		do(t, e, call, p.failing(errLine)).mustFail(t, onlyonce.StatusUnknown, errLine)

		if err := e.Resolve(t.Context(), record(t, e, "k"), onlyonce.Happened("OK", []byte("paid"))); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		time.Sleep(week - 1)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusReplayed, "paid")
		p.mustHaveRun(t, 1)

		time.Sleep(time.Nanosecond)
		do(t, e, call, p.do).mustBe(t, onlyonce.StatusExecuted, "#2")
	})
}

func TestF34ResolveRefusesAnAnswerOverTheCap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p payments

		e := heldEngine(t, &p, onlyonce.WithPolicy(onlyonce.Policy{MaxOutcome: 4}))
		resolution := onlyonce.Happened("OK", []byte("paid!"))

		err := e.Resolve(t.Context(), record(t, e, "k"), resolution)
		if err == nil || !strings.Contains(err.Error(), "5 bytes") || !strings.Contains(err.Error(), "MaxOutcome") {
			t.Errorf("Resolve: %v, want an error that names the size and MaxOutcome", err)
		}

		mustBeState(t, e, store.Unknown)

		resolution = onlyonce.Happened("OK", []byte("paid"))
		if err := e.Resolve(t.Context(), record(t, e, "k"), resolution); err != nil {
			t.Errorf("Resolve: %v", err)
		}

		do(t, e, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "paid")
	})
}
