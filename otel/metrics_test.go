package onceotel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	onceotel "github.com/onlyonce-go/onlyonce/otel"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// sum returns the sum of all series of all metrics with a name prefix.
func sum(all map[string][]point, prefix string) (total float64) {
	for name, points := range all {
		for _, p := range points {
			if strings.HasPrefix(name, prefix) {
				total += p.value
			}
		}
	}

	return total
}

// Event kinds of a newer version are counted, too.
func TestEveryEventOfTheEngineEndsInAMetric(t *testing.T) {
	w := newWatch(t)
	observer := w.Observer()

	for kind := onlyonce.EventKind(1); kind <= 40; kind++ {
		before := sum(w.collect(t), "onlyonce.")
		observer.Observe(t.Context(), onlyonce.Event{Kind: kind, Method: "/bank/Pay", Status: onlyonce.StatusExecuted, Key: "card-4711"})

		if after := sum(w.collect(t), "onlyonce."); after < before+1 {
			t.Errorf("no metric counts the event %q", kind)
		}
	}

	events := w.collect(t)["onlyonce.events"]

	for event, want := range map[string]float64{"lease_lost": 1, "takeover": 1, "kind_40": 1, "call": 0} {
		if got := value(events, "rpc.method=bank/Pay", "onlyonce.event="+event); got != want {
			t.Errorf("%v events are %s, want %v", got, event, want)
		}
	}
}

func TestEveryEventOfAStoreEndsInAMetric(t *testing.T) {
	w := newWatch(t)
	observer := w.StoreObserver("records")

	for kind := store.EventKind(1); !strings.Contains(kind.String(), "("); kind++ {
		before := sum(w.collect(t), "onlyonce.store.")
		observer.ObserveStore(t.Context(), store.Event{Kind: kind, Operation: store.OperationClaim, Status: store.StatusApplied, Count: 3})

		if after := sum(w.collect(t), "onlyonce.store."); after < before+1 {
			t.Errorf("no metric counts the event %q", kind)
		}
	}
}

// Telemetry does not swallow events of other observers.
func TestObserversPassEventsOn(t *testing.T) {
	w := newWatch(t)
	got := 0

	w.Observer(nil, onlyonce.ObserverFunc(func(context.Context, onlyonce.Event) { got++ })).Observe(t.Context(), onlyonce.Event{})
	w.StoreObserver("s", nil, store.ObserverFunc(func(context.Context, store.Event) { got++ })).ObserveStore(t.Context(), store.Event{})

	if got != 2 {
		t.Errorf("%d events were passed on, want 2", got)
	}
}

// The time of a call has three parts: the handler, the wait for another call, and the overhead of the engine.
func TestOverheadIsWithoutHandlerAndWait(t *testing.T) {
	w := newWatch(t)
	observer := w.Observer()

	observer.Observe(t.Context(), onlyonce.Event{
		Kind: onlyonce.EventCall, Method: "/bank/Pay", Status: onlyonce.StatusExecuted, Total: 10e9, Run: 6e9, Waited: 3e9,
	})

	for name, want := range map[string]float64{
		"onlyonce.call.overhead.duration": 1, "onlyonce.handler.duration": 6, "onlyonce.call.wait.duration": 3,
	} {
		if got := seconds(t, w, name); got != want {
			t.Errorf("%s is %v s, want %v", name, got, want)
		}
	}
}

func TestF45_CardinalityIsThatOfTheProgramNotOfItsCallers(t *testing.T) {
	const many = 10_000

	w := newWatch(t)

	engine, err := onlyonce.New(memstore.New(memstore.WithObserver(w.StoreObserver("memory"))), w.EngineOptions()...)
	if err != nil {
		t.Fatal(err)
	}

	for i := range many {
		call := onlyonce.Call{Scope: fmt.Sprintf("tenant-%d", i), Method: "/bank/Pay", Key: fmt.Sprintf("card-%d", i)}

		for range 2 {
			if _, err := engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, nil }); err != nil {
				t.Fatal(err)
			}
		}
	}

	for name, points := range w.collect(t) {
		if len(points) > 10 {
			t.Errorf("%s has %d series", name, len(points))
		}

		for _, p := range points {
			if text := strings.Join(texts(p.attrs), " "); strings.Contains(text, "card-") || strings.Contains(text, "tenant-") {
				t.Errorf("%s has %s", name, text)
			}
		}
	}
}

func TestF45_FloodOfMethodNamesIsBounded(t *testing.T) {
	w := newWatch(t)
	observer := w.Observer()

	for i := range 10_000 {
		observer.Observe(t.Context(), onlyonce.Event{
			Kind: onlyonce.EventCall, Method: fmt.Sprintf("/bank/Method%d", i), Status: onlyonce.StatusExecuted,
		})
	}

	calls := w.collect(t)["onlyonce.calls"]
	if len(calls) != 201 {
		t.Errorf("there are %d series, want 200 methods and all others", len(calls))
	}

	if got := value(calls, "rpc.method=_other", "onlyonce.status=executed"); got != 9_800 {
		t.Errorf("%v calls have other methods", got)
	}
}

func TestMethodsThatTheFilterDoesNotKnowShareAName(t *testing.T) {
	w := newWatch(t, onceotel.WithMethodFilter(func(method string) bool { return method == "/bank/Pay" }))
	observer := w.Observer()

	for _, method := range []string{"/bank/Pay", "/bank/Other", "/bank/Another"} {
		observer.Observe(t.Context(), onlyonce.Event{Kind: onlyonce.EventCall, Method: method, Status: onlyonce.StatusReplayed})
	}

	calls := w.collect(t)["onlyonce.calls"]
	known := value(calls, "rpc.method=bank/Pay", "onlyonce.status=replayed")

	if others := value(calls, "rpc.method=_other", "onlyonce.status=replayed"); known != 1 || others != 2 {
		t.Errorf("%v calls are known, %v are others", known, others)
	}
}

func TestMethodsOfAServer(t *testing.T) {
	known := onceotel.MethodsOf(start(t, newWatch(t), setup{}, nil).server)

	for method, want := range map[string]bool{
		unaryCall: true, "/grpc.testing.TestService/None": false, "/none/UnaryCall": false, "UnaryCall": false, "": false,
	} {
		if known(method) != want {
			t.Errorf("%q is known: %t", method, !want)
		}
	}
}

func TestWhatAnEngineHoldsIsReadWhenMetricsAre(t *testing.T) {
	w := newWatch(t)

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxWaiters: 7}))
	if err != nil {
		t.Fatal(err)
	}

	registration, err := w.WatchEngine(engine, "payments")
	if err != nil {
		t.Fatal(err)
	}

	_, err = engine.Do(t.Context(), onlyonce.Call{Method: "/bank/Pay", Key: "k"}, func(context.Context) ([]byte, error) {
		all := w.collect(t) //nolint:contextcheck // the test's
		active := value(all["onlyonce.call.active"], "onlyonce.engine.name=payments")

		if most := value(all["onlyonce.waiter.limit"], "onlyonce.engine.name=payments"); active != 1 || most != 7 {
			t.Errorf("%v calls are active, and %v may wait", active, most)
		}

		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}

	if err := registration.Unregister(); err != nil {
		t.Error(err)
	}

	if all := w.collect(t); len(all["onlyonce.call.active"]) != 0 {
		t.Error("an engine is read that is not watched any more")
	}

	if _, err := w.WatchEngine(nil, ""); err == nil {
		t.Error("no engine can be watched")
	}
}

func TestBudgetsAreReadWhenMetricsAre(t *testing.T) {
	w := newWatch(t)

	budgets, err := retry.NewBudgets(10, 0.1)
	if err != nil {
		t.Fatal(err)
	}

	single, err := retry.NewBudget(4, 1)
	if err != nil {
		t.Fatal(err)
	}

	for i := range 100 {
		budgets.For(fmt.Sprintf("dns:///bank-%02d", i))
	}

	if _, err := w.WatchBudgets(budgets); err != nil {
		t.Fatal(err)
	}

	if _, err := w.WatchBudget(single, "ledger"); err != nil {
		t.Fatal(err)
	}

	tokens := w.collect(t)["onlyonce.client.budget.tokens"]
	if got := value(tokens, "grpc.target=ledger"); got != 4 || len(tokens) != 51 {
		t.Errorf("the budget has %v tokens, among %d series", got, len(tokens))
	}

	if _, err := w.WatchBudgets(nil); err == nil {
		t.Error("no budgets can be watched")
	}
}
