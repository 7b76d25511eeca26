package onlyonce_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func traced() onlyonce.Option {
	return onlyonce.WithTrace(func(context.Context) string { return traceparent })
}

// asking is an engine whose method has a recovery function.
func asking(t *testing.T, records store.Store, l *ledger, opts ...onlyonce.Option) *onlyonce.Engine {
	t.Helper()

	engine := newEngine(t, records, opts...)
	engine.AddRecoveries(func(string) onlyonce.RecoverFunc { return nil })
	engine.AddRecoveries(func(name string) onlyonce.RecoverFunc {
		if name != method {
			return nil
		}

		return l.recover
	})

	return engine
}

// held leaves a record whose outcome is unknown.
func held(t *testing.T, engine *onlyonce.Engine) onlyonce.Record {
	t.Helper()

	var p payments

	_ = do(t, engine, pay("k"), p.failing(errLine))

	return record(t, engine, "k")
}

func TestRecoverSettlesARecordWithoutACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal

		found := &ledger{found: onlyonce.Happened("OK", []byte("receipt")).By("", "payment 17")}
		engine := asking(t, memstore.New(), found, onlyonce.WithObserver(&seen))
		rec := held(t, engine)

		if got, err := engine.Recover(t.Context(), rec); err != nil || got.String() != "happened" {
			t.Errorf("Recover = %v, %v", got, err)
		}

		if now := record(t, engine, "k"); now.SettledBy != "recovery function" || now.Reason != "payment 17" || string(now.Body) != "receipt" {
			t.Errorf("the record is %+v", now)
		}

		var p payments

		do(t, engine, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")

		if _, err := engine.Recover(t.Context(), record(t, engine, "k")); !errors.Is(err, onlyonce.ErrNotUnknown) {
			t.Errorf("Recover of a settled record: %v", err)
		}

		if events := seen.of(onlyonce.EventResolved); len(events) != 1 || events[0].Code != "OK" ||
			events[0].Err.Error() != "settled by recovery function: payment 17" {
			t.Errorf("the events are %+v", events)
		}
	})
}

func TestRecoverNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		rec := held(t, engine)

		if _, err := engine.Recover(t.Context(), rec); !errors.Is(err, onlyonce.ErrNoRecovery) {
			t.Errorf("without a function: %v", err)
		}

		failing := &ledger{err: errLine}
		engine = asking(t, memstore.New(), failing)
		rec = held(t, engine)

		if _, err := engine.Recover(t.Context(), rec); !errors.Is(err, errLine) {
			t.Errorf("with a function that fails: %v", err)
		}

		if err := engine.Drain(t.Context()); err != nil {
			t.Fatalf("Drain: %v", err)
		}

		if _, err := engine.Recover(t.Context(), rec); !errors.Is(err, onlyonce.ErrDraining) {
			t.Errorf("after a drain: %v", err)
		}
	})
}

func TestF49OneProcessRecoversARecordAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := memstore.New()
		slow := &ledger{takes: time.Second, found: onlyonce.Happened("OK", []byte("receipt"))}
		first, second := asking(t, records, slow), asking(t, records, slow)
		rec := held(t, first)

		errs := make(chan error, 2)

		for range 2 { // the second one waits for the result of the first
			go func() {
				_, err := first.Recover(t.Context(), rec)
				errs <- err
			}()
		}

		synctest.Wait()

		if _, err := second.Recover(t.Context(), rec); !errors.Is(err, onlyonce.ErrRecoveryElsewhere) {
			t.Errorf("while another process recovers it: %v", err)
		}

		for rec, err := range second.ListRunning(t.Context()) {
			t.Errorf("the lists have %v of %s, %v", rec.ID, rec.Method, err)
		}

		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Errorf("Recover: %v", err)
		}

		if n := slow.asked.Load(); n != 1 {
			t.Errorf("the function was called %d times, want once", n)
		}
	})
}

func TestF49RecoveryOfADeadProcessEndsWithItsLease(t *testing.T) {
	t.Parallel()

	for name, later := range map[string]time.Duration{"soon": 15 * time.Second, "long after": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				records := memstore.New()
				stuck := &ledger{takes: time.Hour, found: onlyonce.StillUnknown()}
				quick := &ledger{found: onlyonce.Happened("OK", []byte("receipt"))}
				broken := newFaultStore()
				broken.mem = records
				dead, alive := asking(t, broken, stuck), asking(t, records, quick)
				rec := held(t, alive)

				broken.broken(failing(errLine), opRelease) // it dies: its release never arrives

				if _, err := dead.Recover(t.Context(), rec); err == nil {
					t.Error("a recovery that takes an hour has a result")
				}

				if _, err := alive.Recover(t.Context(), rec); !errors.Is(err, onlyonce.ErrRecoveryElsewhere) {
					t.Errorf("while the right is taken: %v", err)
				}

				time.Sleep(later)

				if n := len(listed(t, alive)); n != 1 {
					t.Errorf("the list has %d records, want one", n)
				}

				if _, err := alive.Recover(t.Context(), rec); err != nil {
					t.Errorf("after the lease: %v", err)
				}

				time.Sleep(time.Hour)
			})
		})
	}
}

func listed(t *testing.T, engine *onlyonce.Engine) (found []onlyonce.Record) {
	t.Helper()

	for rec, err := range engine.ListUnknown(t.Context()) {
		if err != nil {
			t.Errorf("ListUnknown: %v", err)
		}

		found = append(found, rec)
	}

	return found
}

func TestCallRecoversByItselfIfARecoveryWithoutItsRequestHasFoundNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blind := &ledger{takes: time.Second, found: onlyonce.StillUnknown()}
		engine := asking(t, memstore.New(), blind)
		rec := held(t, engine)
		knows := &ledger{found: onlyonce.Happened("OK", []byte("receipt"))}

		go func() { _, _ = engine.Recover(t.Context(), rec) }()

		synctest.Wait()

		var p payments

		do(t, engine, knows.pay(), p.do).mustBe(t, onlyonce.StatusReplayed, "receipt")

		if blind.asked.Load() != 1 || knows.asked.Load() != 1 {
			t.Errorf("the functions were called %d and %d times, want once each", blind.asked.Load(), knows.asked.Load())
		}
	})
}

func TestCallRecoversOnceByItselfIfARecoveryWithoutItsRequestDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &ledger{takes: time.Hour, found: onlyonce.StillUnknown()} // its time is over after 5 seconds
		records := newFaultStore()
		engine := asking(t, records, stuck)
		rec := held(t, engine)
		knows := &ledger{found: onlyonce.StillUnknown()}

		if _, err := engine.Recover(t.Context(), rec); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a recovery that takes an hour: %v", err)
		}

		var p payments

		// A call that went on to wait for that recovery would claim again and again.
		records.broken(distant(time.Millisecond), opClaim)

		began := records.count(opClaim)

		do(t, engine, knows.pay(), p.do).mustBeRejected(t, onlyonce.ReasonOutcomeUnknown)

		if n := records.count(opClaim) - began; n > 3 {
			t.Errorf("the call has claimed %d times", n)
		}

		time.Sleep(time.Minute) // the right of the first recovery ends

		if _, err := engine.Recover(t.Context(), rec); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when the call's own recovery has ended: %v", err)
		}

		if stuck.asked.Load() != 2 || knows.asked.Load() != 1 {
			t.Errorf("the functions were called %d and %d times, want twice and once", stuck.asked.Load(), knows.asked.Load())
		}

		time.Sleep(2 * time.Hour)
	})
}

func TestF49RecordIsRecoveredWhereTheRightCannotBeClaimed(t *testing.T) {
	t.Parallel()

	for name, problem := range map[string]error{"full": store.ErrFull, "unreadable": store.ErrUnreadable, "newer": store.ErrNewer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				records := newFaultStore()
				engine := asking(t, records, &ledger{found: onlyonce.Happened("OK", []byte("receipt"))})
				rec := held(t, engine)

				records.broken(failing(problem), opClaim)

				if _, err := engine.Recover(t.Context(), rec); err != nil {
					t.Errorf("Recover: %v", err)
				}

				mustBeState(t, engine, store.Completed)
			})
		})
	}
}

func TestF49FullStoreIsReconciled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := asking(t, memstore.New(memstore.WithMaxRecords(1)), &ledger{found: onlyonce.Happened("OK", []byte("receipt"))})

		if _, err := engine.Recover(t.Context(), held(t, engine)); err != nil {
			t.Errorf("Recover: %v", err)
		}

		mustBeState(t, engine, store.Completed)
	})
}

func TestF03KeptRequestIsTheOneBeforeTheHandlerRan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New(), traced(), onlyonce.WithPolicy(onlyonce.Policy{KeepRequest: 100}))
		call := pay("k")

		check := func(when string) {
			rec := record(t, engine, "k")
			if string(rec.Request) != "10 EUR to Ann" || rec.Trace != traceparent {
				t.Errorf("%s the record has %q and %q", when, rec.Request, rec.Trace)
			}
		}

		_ = do(t, engine, call, func(context.Context) ([]byte, error) {
			check("while it runs")
			copy(call.Request, "99 EUR to Bob")

			return nil, errLine
		})

		check("when it is unknown")

		rec := record(t, engine, "k")
		if err := engine.Resolve(t.Context(), rec, onlyonce.Happened("OK", []byte("paid")).By("ann", "ticket 7")); err != nil {
			t.Fatalf("Resolve: %v", err)
		}

		if rec = record(t, engine, "k"); rec.Request != nil || rec.Trace != traceparent || rec.SettledBy != "ann" || rec.Reason != "ticket 7" {
			t.Errorf("when it is settled the record is %+v", rec)
		}
	})
}

func TestF37RequestIsKeptOnlyAsThePolicyDemands(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		keep, size int
		kept       bool
	}{
		"by default":    {0, 10, false},
		"none":          {onlyonce.KeepNoRequest, 10, false},
		"just fits":     {10, 10, true},
		"too large":     {10, 11, false},
		"an empty one":  {10, 0, false},
		"as much as is": {1 << 20, 1 << 20, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			engine := newEngine(t, memstore.New(), onlyonce.WithPolicy(onlyonce.Policy{KeepRequest: tt.keep}))
			call := onlyonce.Call{Method: method, Key: "k", Request: bytes.Repeat([]byte{'x'}, tt.size)}

			_ = do(t, engine, call, func(context.Context) ([]byte, error) { return nil, errLine })

			if rec := record(t, engine, "k"); (len(rec.Request) == tt.size && tt.size > 0) != tt.kept || !rec.Unknown {
				t.Errorf("%s: %d bytes of %d are kept of a record that is %v", name, len(rec.Request), tt.size, rec.State)
			}

			call.Key = "done"
			_ = do(t, engine, call, func(context.Context) ([]byte, error) { return []byte("paid"), nil })

			if rec := record(t, engine, "done"); rec.Request != nil || string(rec.Body) != "paid" {
				t.Errorf("%s: the completed record is %+v", name, rec)
			}
		})
	}
}

func TestReplayNamesTheTraceOfTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			seen journal
			own  atomic.Int64
			p    payments
		)

		trace := onlyonce.WithTrace(func(context.Context) string { return strings.Repeat("0", int(own.Add(1))) + "-trace" })
		engine := newEngine(t, memstore.New(), trace, onlyonce.WithObserver(&seen))

		do(t, engine, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
		do(t, engine, pay("k"), p.do).mustBe(t, onlyonce.StatusReplayed, "#1")

		calls := seen.of(onlyonce.EventCall)
		if calls[0].Trace != "" || calls[1].Trace != "0-trace" || calls[0].Code != "OK" || calls[1].Code != "OK" {
			t.Errorf("the events are %+v", calls)
		}
	})
}

func TestReleasedRecordShowsWhoReleasedItAndWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine(t, memstore.New())
		_ = held(t, engine)

		time.Sleep(time.Minute) // the owner is dead

		found := onlyonce.DidNotHappen().By("ann\x1b[2J", strings.Repeat("é", 300))
		if err := engine.Resolve(t.Context(), record(t, engine, "k"), found); err != nil {
			t.Fatalf("Resolve: %v", err)
		}

		if rec := record(t, engine, "k"); rec.State != store.Released || rec.SettledBy != "ann [2J" || rec.Reason != strings.Repeat("é", 127) {
			t.Errorf("the record is %+v", rec)
		}

		var p payments

		do(t, engine, pay("k"), p.do).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}

func TestAttentionNotifiesTheObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal

		engine := newEngine(t, memstore.New(), onlyonce.WithObserver(&seen))
		engine.Attention(t.Context(), held(t, engine), time.Unix(0, 0))

		events := seen.of(onlyonce.EventAttention)
		if len(events) != 1 || events[0].Key != "k" || !strings.HasSuffix(events[0].Err.Error(), "since 1970-01-01T00:00:00Z") {
			t.Errorf("the events are %+v", events)
		}
	})
}
