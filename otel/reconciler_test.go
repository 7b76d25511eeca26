package onceotel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// wanted is an expected series. A negative value means that the series must not exist.
type wanted struct {
	name  string
	value float64
	attrs []string
}

func (w *watch) mustShow(t *testing.T, when string, all ...wanted) {
	t.Helper()

	found := w.collect(t)

	for _, want := range all {
		if want.value < 0 {
			if len(found[want.name]) != 0 {
				t.Errorf("%s, %s has %v", when, want.name, found[want.name])
			}

			continue
		}

		if got := value(found[want.name], want.attrs...); got != want.value {
			t.Errorf("%s, %s %v is %v, want %v", when, want.name, want.attrs, got, want.value)
		}
	}
}

func TestReconcilerReportsWhatIsUnknownNow(t *testing.T) {
	w := newWatch(t)

	w.Report(reconcile.Report{NoRecovery: 2, Methods: []reconcile.MethodReport{
		{Method: "/bank/Pay", Unknown: 3, Settled: 1, Failed: 2, Oldest: 60e9}, {Method: "/bank/Refund", Unknown: 1, Oldest: 5e9},
	}})
	w.Report(reconcile.Report{Methods: []reconcile.MethodReport{{Method: "/bank/Pay", Unknown: 2, Settled: 1, Oldest: 50e9}}})

	w.mustShow(t, "after two passes",
		wanted{"onlyonce.records.unknown", 2, []string{"rpc.method=bank/Pay"}},
		wanted{"onlyonce.records.unknown", 0, []string{"rpc.method=bank/Refund"}},
		wanted{"onlyonce.records.unknown.age", 50, []string{"rpc.method=bank/Pay"}},
		wanted{"onlyonce.records.unrecoverable", 0, nil},
		wanted{"onlyonce.reconciler.records", 2, []string{"rpc.method=bank/Pay", "onlyonce.result=settled"}},
		wanted{"onlyonce.reconciler.records", 2, []string{"rpc.method=bank/Pay", "onlyonce.result=failed"}},
		wanted{"onlyonce.reconciler.passes", 2, []string{"onlyonce.result=ok"}},
		wanted{"onlyonce.reconciler.passes", 0, []string{"onlyonce.result=failed"}},
	)
}

// Otherwise an outage of the store would end the alert about its records.
func TestALookThatFailedTakesNoUnknownRecordBack(t *testing.T) {
	w := newWatch(t)

	w.Report(reconcile.Report{NoRecovery: 2, Methods: []reconcile.MethodReport{
		{Method: "/bank/Pay", Unknown: 3, Oldest: 60e9}, {Method: "/bank/Refund", Unknown: 1, Oldest: 5e9},
	}})
	w.Report(reconcile.Report{Err: errors.New("down"), Methods: []reconcile.MethodReport{{Method: "/bank/Pay", Unknown: 1, Oldest: 70e9}}})

	w.mustShow(t, "after a pass that failed",
		wanted{"onlyonce.records.unknown", 3, []string{"rpc.method=bank/Pay"}},
		wanted{"onlyonce.records.unknown", 1, []string{"rpc.method=bank/Refund"}},
		wanted{"onlyonce.records.unknown.age", 70, []string{"rpc.method=bank/Pay"}},
		wanted{"onlyonce.records.unrecoverable", 2, nil},
		wanted{"onlyonce.reconciler.passes", 1, []string{"onlyonce.result=failed"}},
	)
}

// The series of successful passes must exist, so that an alert can see that it does not grow.
func TestAReconcilerThatHasNeverSucceededIsSeen(t *testing.T) {
	w := newWatch(t)
	w.Report(reconcile.Report{Err: errors.New("down")})

	if passes := w.collect(t)["onlyonce.reconciler.passes"]; len(passes) != 2 {
		t.Errorf("the series are %v", passes)
	}
}

func TestReconcilersOfSeveralEnginesHaveSeparateSeries(t *testing.T) {
	w := newWatch(t)
	payments, refunds := w.ReportOf("payments"), w.ReportOf("refunds")

	payments(reconcile.Report{Methods: []reconcile.MethodReport{{Method: "/bank/Pay", Unknown: 3}}})
	refunds(reconcile.Report{Methods: []reconcile.MethodReport{{Method: "/bank/Refund", Unknown: 1}}})

	w.mustShow(t, "with two reconcilers",
		wanted{"onlyonce.records.unknown", 3, []string{"onlyonce.engine.name=payments", "rpc.method=bank/Pay"}},
		wanted{"onlyonce.records.unknown", 1, []string{"onlyonce.engine.name=refunds", "rpc.method=bank/Refund"}},
	)
}

func TestFiguresOfAReconcilerThatHasEndedExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const none = -1

		w := newWatch(t)
		report := reconcile.Report{Methods: []reconcile.MethodReport{{Method: "/bank/Pay", Unknown: 3}}}
		shown := wanted{"onlyonce.records.unknown", 3, []string{"rpc.method=bank/Pay"}}

		w.Report(report)
		time.Sleep(9 * time.Minute)
		w.mustShow(t, "after nine minutes", shown)
		time.Sleep(2 * time.Minute)
		w.mustShow(t, "after eleven minutes", wanted{"onlyonce.records.unknown", none, nil}, wanted{"onlyonce.records.unknown.age", none, nil},
			wanted{"onlyonce.records.unrecoverable", none, nil})

		w.Report(report) // passes are eleven minutes apart
		time.Sleep(30 * time.Minute)
		w.mustShow(t, "between rare passes", shown)
		time.Sleep(5 * time.Minute)
		w.mustShow(t, "after three pauses", wanted{"onlyonce.records.unknown", none, nil})
	})
}

// This test uses the reconciler itself instead of made-up reports.
func TestF04_AReconcilersLooksAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)

		engine, err := onlyonce.New(memstore.New(), w.EngineOptions()...)
		if err != nil {
			t.Fatal(err)
		}

		var fails, happened atomic.Bool

		engine.AddRecoveries(func(method string) onlyonce.RecoverFunc {
			if method != "/bank/Pay" {
				return nil
			}

			return func(context.Context, onlyonce.Record) (onlyonce.Finding, error) {
				switch {
				case fails.Swap(false):
					return onlyonce.Finding{}, errors.New("the bank is down")
				case happened.Load():
					return onlyonce.Happened("OK", nil), nil
				default:
					return onlyonce.StillUnknown(), nil
				}
			}
		})

		for _, method := range []string{"/bank/Pay", "/bank/Refund"} {
			_, err := engine.Do(t.Context(), onlyonce.Call{Method: method, Key: "order-1"}, func(context.Context) ([]byte, error) {
				return nil, errors.New("the connection broke")
			})
			if err == nil {
				t.Fatal("the call ended well")
			}
		}

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		options := reconcile.Options{Report: w.Report, Interval: time.Minute, AttentionAfter: time.Hour}

		fails.Store(true)

		go func() {
			ended <- reconcile.Run(ctx, engine, options)
		}()

		time.Sleep(10 * time.Minute)
		w.mustShow(t, "while nobody knows",
			wanted{"onlyonce.records.unknown", 1, []string{"rpc.method=bank/Pay"}},
			wanted{"onlyonce.records.unknown", 1, []string{"rpc.method=bank/Refund"}},
			wanted{"onlyonce.records.unrecoverable", 1, nil},
			wanted{"onlyonce.reconciler.records", 1, []string{"rpc.method=bank/Pay", "onlyonce.result=failed"}},
			wanted{"onlyonce.events", 1, []string{"rpc.method=bank/Pay", "onlyonce.event=recovery_failed"}},
		)

		time.Sleep(2 * time.Hour)
		w.mustShow(t, "after the limit",
			wanted{"onlyonce.events", 1, []string{"rpc.method=bank/Pay", "onlyonce.event=attention"}},
			wanted{"onlyonce.events", 1, []string{"rpc.method=bank/Refund", "onlyonce.event=attention"}},
		)

		happened.Store(true)

		time.Sleep(30 * time.Minute)
		w.mustShow(t, "when the bank knows",
			wanted{"onlyonce.records.unknown", 0, []string{"rpc.method=bank/Pay"}},
			wanted{"onlyonce.records.unknown", 1, []string{"rpc.method=bank/Refund"}},
			wanted{"onlyonce.reconciler.records", 1, []string{"rpc.method=bank/Pay", "onlyonce.result=settled"}},
			wanted{"onlyonce.events", 1, []string{"rpc.method=bank/Pay", "onlyonce.event=resolved"}},
		)

		cancel()

		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the reconciler ended with %v", err)
		}
	})
}
