package operate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func happened() operate.Decision {
	return operate.Decision{Verdict: operate.Happened, Code: "OK", Body: []byte("paid"), Who: "ann", Reason: "seen at the bank"}
}

func didNotHappen() operate.Decision {
	return operate.Decision{Verdict: operate.DidNotHappen, Who: "ann", Reason: "not at the bank"}
}

func TestSettleGivesCallersTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		plan := operate.Plan(unknown(t, engine, method, "k"), happened())

		if plan.Refused != nil || plan.From != operate.StateHeld || plan.To != operate.StateCompleted || plan.RunsAgain {
			t.Fatalf("the plan is %+v", plan)
		}

		for range 2 { // a repeat is harmless
			if err := operate.Settle(t.Context(), engine, plan); err != nil {
				t.Fatal(err)
			}
		}

		got, err := engine.Do(t.Context(), onlyonce.Call{Method: method, Key: "k"}, func(context.Context) ([]byte, error) {
			t.Error("the handler runs again")

			return nil, nil
		})
		if err != nil || string(got.Body) != "paid" {
			t.Errorf("got %q, %v", got.Body, err)
		}
	})
}

func TestF49SettleIsRefusedIfTheRecordHasChangedSince(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		rec := unknown(t, engine, method, "k")
		plan := operate.Plan(rec, happened())

		time.Sleep(time.Hour) // until the owner is certainly dead

		other := operate.Plan(lookup(t, engine, method, "k"), didNotHappen())
		if err := operate.Settle(t.Context(), engine, other); err != nil {
			t.Fatal(err)
		}

		if err := operate.Settle(t.Context(), engine, plan); !errors.Is(err, onlyonce.ErrNotUnknown) {
			t.Errorf("somebody else has settled it: %v", err)
		}

		unknown(t, engine, method, "k") // a separate run

		if err := operate.Settle(t.Context(), engine, plan); !errors.Is(err, onlyonce.ErrRecordChanged) {
			t.Errorf("another run has the key: %v", err)
		}
	})
}

func TestF03NothingHappenedIsRefusedWhileTheOwnerMayBeAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		plan := operate.Plan(unknown(t, engine, method, "k"), didNotHappen())

		if !errors.Is(plan.Refused, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("the plan is %+v", plan)
		}

		if err := operate.Settle(t.Context(), engine, plan); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("got %v", err)
		}

		if rec := lookup(t, engine, method, "k"); rec.State != store.Unknown {
			t.Errorf("the record is %v", rec.State)
		}
	})
}

func TestPlanNamesWhatASettlementLacks(t *testing.T) {
	t.Parallel()

	completed := with(held(0), func(r *onlyonce.Record) { r.State, r.Unknown = store.Completed, false })
	alive := with(held(0), func(r *onlyonce.Record) { r.OwnerAliveUntil = now.Add(time.Minute) })
	decide := func(change func(*operate.Decision)) operate.Decision {
		d := happened()
		change(&d)

		return d
	}

	for name, tt := range map[string]struct {
		rec  onlyonce.Record
		d    operate.Decision
		want error
	}{
		"whole":               {held(0), happened(), nil},
		"no verdict":          {held(0), decide(func(d *operate.Decision) { d.Verdict = "" }), operate.ErrIncomplete},
		"no name":             {held(0), decide(func(d *operate.Decision) { d.Who = " " }), operate.ErrIncomplete},
		"no reason":           {held(0), decide(func(d *operate.Decision) { d.Reason = "" }), operate.ErrIncomplete},
		"no code":             {held(0), decide(func(d *operate.Decision) { d.Code = "" }), operate.ErrIncomplete},
		"settled":             {completed, happened(), onlyonce.ErrNotUnknown},
		"no record":           {onlyonce.Record{}, happened(), onlyonce.ErrNotUnknown},
		"happened, alive":     {alive, happened(), nil},
		"not happened, alive": {alive, didNotHappen(), onlyonce.ErrOwnerMayBeAlive},
		"not happened, dead":  {held(0), didNotHappen(), nil},
		"forget, settled":     {completed, decide(func(d *operate.Decision) { d.Verdict = operate.Forget }), nil},
		"forget, alive":       {alive, decide(func(d *operate.Decision) { d.Verdict = operate.Forget }), onlyonce.ErrOwnerMayBeAlive},
		"force":               {alive, decide(func(d *operate.Decision) { d.Verdict = operate.ForceForget }), nil},
		"finding is no answer": {
			held(0), operate.Answer(onlyonce.StillUnknown(), "ann", "seen"), operate.ErrIncomplete,
		},
		"finding is an answer": {held(0), operate.Answer(onlyonce.Happened("OK", nil), "ann", "seen"), nil},
	} {
		if plan := operate.Plan(tt.rec, tt.d); !errors.Is(plan.Refused, tt.want) || (tt.want == nil) != (plan.Refused == nil) {
			t.Errorf("%s: %v, want %v", name, plan.Refused, tt.want)
		}
	}
}

func TestForgetRemovesTheRecordAndItsReasonIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []onlyonce.Event

		engine := newEngine(t, memstore.New(), onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			if e.Kind == onlyonce.EventForgotten {
				seen = append(seen, e)
			}
		})))
		rec := unknown(t, engine, method, "k")
		decision := operate.Decision{Verdict: operate.Forget, Who: "ann", Reason: "asked to"}

		if err := operate.Settle(t.Context(), engine, operate.Plan(rec, decision)); !errors.Is(err, onlyonce.ErrOwnerMayBeAlive) {
			t.Errorf("got %v", err)
		}

		decision.Verdict = operate.ForceForget
		if err := operate.Settle(t.Context(), engine, operate.Plan(rec, decision)); err != nil {
			t.Fatal(err)
		}

		if rec := lookup(t, engine, method, "k"); rec.State != store.Absent {
			t.Errorf("the record is %v", rec.State)
		}

		if len(seen) != 1 || !strings.Contains(seen[0].Err.Error(), "asked to (by ann)") {
			t.Errorf("the events are %+v", seen)
		}
	})
}
