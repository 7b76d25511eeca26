package onlyonce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// watcher keeps the events of shadow mode.
type watcher struct {
	mu     sync.Mutex
	events []onlyonce.Event
}

func (w *watcher) Observe(_ context.Context, event onlyonce.Event) {
	if event.Kind != onlyonce.EventShadow {
		return
	}

	w.mu.Lock()
	defer w.mu.Unlock()

	w.events = append(w.events, event)
}

// last returns the event of the call that has ended last, when everything has come to rest.
func (w *watcher) last(t *testing.T) onlyonce.Event {
	t.Helper()
	synctest.Wait()

	w.mu.Lock()
	defer w.mu.Unlock()

	if len(w.events) == 0 {
		t.Fatal("the observer was told nothing")
	}

	return w.events[len(w.events)-1]
}

func shadowed(p onlyonce.Policy) onlyonce.Option {
	p.Shadow = onlyonce.ShadowOn

	return onlyonce.WithPolicy(p)
}

// shadowStage is an engine in shadow mode in a bubble.
type shadowStage struct {
	*onlyonce.Engine

	store   *faultStore
	watcher *watcher
	report  *onlyonce.ShadowReport
}

func inShadow(t *testing.T, p onlyonce.Policy, test func(t *testing.T, s *shadowStage)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		s := &shadowStage{store: newFaultStore(), watcher: new(watcher), report: new(onlyonce.ShadowReport)}
		s.Engine = newEngine(t, s.store, shadowed(p), onlyonce.WithObserver(s.report.With(s.watcher)))
		test(t, s)
	})
}

// wants checks the event of the last call.
func (s *shadowStage) wants(t *testing.T, status onlyonce.Status, reason onlyonce.Reason) *onlyonce.Shadowed {
	t.Helper()

	event := s.watcher.last(t)
	if event.Status != status || event.Reason != reason {
		t.Errorf("real mode would have answered %q %q (%v), want %q %q", event.Status, event.Reason, event.Err, status, reason)
	}

	return event.Shadow
}

func TestShadowModeRunsEveryDuplicateAndReportsThatItWouldHaveBeenReplayed(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		for run := range 2 {
			result, err := s.Do(t.Context(), pay("k"), handler.do)
			if want := fmt.Sprintf("#%d", run+1); err != nil || string(result.Body) != want || result.Status != onlyonce.StatusUnprotected {
				t.Errorf("call %d: %q %v %v, want the handler's own answer %q", run, result.Body, result.Status, err, want)
			}

			if run == 0 {
				s.wants(t, onlyonce.StatusExecuted, "")
			}
		}

		about := s.wants(t, onlyonce.StatusReplayed, "")
		if !about.Compared || !about.Differs || about.Recorded != "OK" {
			t.Errorf("%+v; want an answer that differs from the recorded one", about)
		}

		same := func(context.Context) ([]byte, error) { return []byte("#1"), nil }
		if _, err := s.Do(t.Context(), pay("k"), same); err != nil {
			t.Error(err)
		}

		if about := s.wants(t, onlyonce.StatusReplayed, ""); !about.Compared || about.Differs {
			t.Errorf("%+v; want an answer that is equal to the recorded one", about)
		}

		handler.mustHaveRun(t, 2)
	})
}

func TestShadowModeReportsWhatRealModeWouldHaveRefused(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		calls := []struct {
			call   onlyonce.Call
			status onlyonce.Status
			reason onlyonce.Reason
		}{
			{pay("k"), onlyonce.StatusExecuted, ""},
			{payOther("k"), onlyonce.StatusRejected, onlyonce.ReasonKeyReused},
			{pay(""), onlyonce.StatusRejected, onlyonce.ReasonKeyMissing},
			{pay("a key"), onlyonce.StatusRejected, onlyonce.ReasonKeyInvalid},
			{onlyonce.Call{Method: method, Key: "no-uuid", TimeOrdered: true}, onlyonce.StatusRejected, onlyonce.ReasonKeyInvalid},
		}
		for _, c := range calls {
			if _, err := s.Do(t.Context(), c.call, handler.do); err != nil {
				t.Errorf("%q: %v", c.call.Key, err)
			}

			s.wants(t, c.status, c.reason)
		}

		handler.mustHaveRun(t, int64(len(calls)))
	})
}

func TestAnAmbiguousEndInShadowModeLeavesARecordThatExpires(t *testing.T) {
	t.Parallel()

	failure := errors.New("the bank is silent")

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		if _, err := s.Do(t.Context(), pay("k"), handler.failing(failure)); !errors.Is(err, failure) {
			t.Errorf("%v, want the handler's error", err)
		}

		if about := s.wants(t, onlyonce.StatusUnknown, ""); about.Class != onlyonce.ClassAmbiguous || about.Code != "ERROR" {
			t.Errorf("%+v", about)
		}

		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil {
			t.Error(err)
		}

		s.wants(t, onlyonce.StatusUnknown, onlyonce.ReasonOutcomeUnknown)

		for rec, err := range s.ListUnknown(t.Context()) {
			t.Errorf("record %v is unknown (%v)", rec, err)
		}

		time.Sleep(onlyonce.DefaultRetention + time.Hour)

		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil {
			t.Error(err)
		}

		s.wants(t, onlyonce.StatusExecuted, "")

		if n := s.store.count(opHold); n != 0 {
			t.Errorf("%d records were held", n)
		}
	})
}

func TestAnAmbiguousEndInShadowModeReleasesTheKeyWhereRealModeWould(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		_, _ = s.Do(t.Context(), pay("k"), handler.failing(errors.New("the bank is silent")))
		s.wants(t, onlyonce.StatusUnknown, "")

		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil {
			t.Error(err)
		}

		s.wants(t, onlyonce.StatusExecuted, "")
	})
}

func TestShadowModeAndRealModeNeverSeeEachOthersRecords(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		inReal := newEngine(t, s.store)
		running := make(chan struct{})
		slow := inBackground(t.Context(), s.Engine, pay("running"), func(ctx context.Context) ([]byte, error) {
			<-running

			return handler.do(ctx)
		})

		for _, key := range []string{"done", "unknown"} {
			fail := handler.do
			if key == "unknown" {
				fail = handler.failing(errors.New("the bank is silent"))
			}

			_, _ = s.Do(t.Context(), pay(key), fail)
		}

		synctest.Wait()

		for _, key := range []string{"done", "unknown", "running"} {
			if result, err := inReal.Do(t.Context(), pay(key), handler.do); err != nil || result.Status != onlyonce.StatusExecuted {
				t.Errorf("%s in real mode: %v %v", key, result.Status, err)
			}
		}

		if _, err := inReal.Do(t.Context(), pay("real"), handler.do); err != nil {
			t.Error(err)
		}

		if _, err := s.Do(t.Context(), pay("real"), handler.do); err != nil {
			t.Error(err)
		}

		s.wants(t, onlyonce.StatusExecuted, "")
		close(running)
		<-slow
	})
}

func TestADuplicateInShadowModeReportsThatItWouldHaveWaited(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		first := inBackground(t.Context(), s.Engine, pay("k"), handler.lasting(22*time.Second)) // longer than a lease
		synctest.Wait()
		time.Sleep(onlyonce.DefaultLease + 5*time.Second)

		began := time.Now()
		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil || time.Since(began) != 0 {
			t.Errorf("the duplicate took %v: %v", time.Since(began), err)
		}

		if got := <-first; got.err != nil {
			t.Error(got.err)
		}

		time.Sleep(time.Minute)

		if about := s.wants(t, onlyonce.StatusReplayed, ""); !about.Waited || !about.Compared {
			t.Errorf("%+v; want a duplicate that would have waited for the answer", about)
		}

		_, _ = s.Do(t.Context(), pay("other"), handler.lasting(onlyonce.DefaultMaxRun+time.Second))

		synctest.Wait()

		if m := s.report.Methods()[0]; m.Overrun != 1 || m.Waited != 1 {
			t.Errorf("%+v", m)
		}
	})
}

func TestF20ARunInShadowModeEndsWithItsCallerAndRealModeWouldHaveLetItGoOn(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		ctx, cancel := context.WithCancel(t.Context())
		first := inBackground(ctx, s.Engine, pay("k"), handler.cancellable(time.Second))
		synctest.Wait()
		cancel()

		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%v, want the cancellation of the caller", got.err)
		}

		if about := s.wants(t, onlyonce.StatusExecuted, ""); !about.CallerGone {
			t.Errorf("%+v", about)
		}

		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil {
			t.Error(err)
		}

		if about := s.wants(t, onlyonce.StatusReplayed, ""); about.Compared {
			t.Errorf("%+v; nothing is there to compare", about)
		}

		if m := s.report.Methods()[0]; len(m.Ambiguous) != 0 || m.CallerGone != 1 {
			t.Errorf("%+v", m)
		}
	})
}

func TestF06F08NoFaultOfTheStoreHoldsUpACallInShadowMode(t *testing.T) {
	t.Parallel()

	faults := map[string]fault{
		"request lost": lostRequest, "reply lost": lostReply, "hanging": hanging, "slow": slow(time.Minute),
		"panics": func(context.Context, deliver) (store.Result, error) { panic("the driver is broken") },
		"full":   func(context.Context, deliver) (store.Result, error) { return store.Result{}, store.ErrFull },
	}

	for name, fault := range faults {
		for _, op := range everyOperation() {
			inShadow(t, onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}, func(t *testing.T, s *shadowStage) {
				t.Helper()

				var handler payments

				s.store.broken(fault, op)

				for range 3 {
					began := time.Now()
					if result, err := s.Do(t.Context(), pay("k"), handler.do); err != nil || len(result.Body) == 0 || time.Since(began) != 0 {
						t.Errorf("%s, %s: %v after %v", name, op, err, time.Since(began))
					}
				}

				if err := s.Drain(t.Context()); err != nil {
					t.Errorf("%s, %s: %v", name, op, err)
				}

				handler.mustHaveRun(t, 3)
			})
		}
	}
}

func TestTheRecordOfACrashedRunInShadowModeIsListedApartAndSettled(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		var handler payments

		s.store.broken(lostRequest, opComplete)

		_, _ = s.Do(t.Context(), pay("k"), handler.do)
		time.Sleep(time.Second) // the completion is sent a few times

		s.wants(t, onlyonce.StatusUnrecorded, "")

		for rec, err := range s.ListRunning(t.Context()) {
			t.Errorf("ListRunning yields record %v (%v)", rec.ID, err)
		}

		time.Sleep(onlyonce.DefaultLease + time.Second)

		for rec, err := range s.ListUnknown(t.Context()) {
			t.Errorf("ListUnknown yields record %v (%v)", rec.ID, err)
		}

		settled := 0

		for rec, err := range s.ListShadow(t.Context()) {
			if err != nil || rec.Method != method || rec.ReadableKey != "k" {
				t.Fatalf("ListShadow yields %+v (%v)", rec, err)
			}

			if err := s.SettleShadow(t.Context(), rec); err != nil {
				t.Fatal(err)
			}

			if err := s.SettleShadow(t.Context(), rec); err != nil && !errors.Is(err, onlyonce.ErrNotUnknown) {
				t.Fatal(err)
			}

			settled++
		}

		if settled != 1 {
			t.Errorf("%d records were settled, want 1", settled)
		}

		for rec, err := range s.ListShadow(t.Context()) {
			t.Errorf("ListShadow still yields record %v (%v)", rec.ID, err)
		}

		if _, err := s.Do(t.Context(), pay("k"), handler.do); err != nil {
			t.Error(err)
		}

		s.wants(t, onlyonce.StatusUnknown, onlyonce.ReasonOutcomeUnknown)
	})
}

func TestShadowModeGivesTheHandlerTheContextOfItsCaller(t *testing.T) {
	t.Parallel()

	e := newEngine(t, memstore.New(), shadowed(onlyonce.Policy{}))
	ctx := t.Context()

	_, _ = e.Do(ctx, pay("k"), func(got context.Context) ([]byte, error) {
		if got != ctx {
			t.Error("the handler has another context than its caller")
		}

		return nil, nil
	})

	if err := e.Drain(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAPanicInShadowModeGoesOnAndIsReported(t *testing.T) {
	t.Parallel()

	inShadow(t, onlyonce.Policy{}, func(t *testing.T, s *shadowStage) {
		t.Helper()

		func() {
			defer func() {
				if problem := recover(); problem != "broken" {
					t.Errorf("recovered %v, want the handler's panic", problem)
				}
			}()

			_, _ = s.Do(t.Context(), pay("k"), func(context.Context) ([]byte, error) { panic("broken") })
		}()

		if about := s.wants(t, onlyonce.StatusUnknown, ""); about.Code != "PANIC" {
			t.Errorf("%+v", about)
		}
	})
}
