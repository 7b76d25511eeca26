package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// memory is a store for tests on fake time.
type memory struct {
	mu      sync.Mutex
	last    uint64
	entries []Entry
}

func (m *memory) Append(_ context.Context, entry Entry) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.last++
	entry.ID = m.last
	m.entries = append(m.entries, entry)

	return m.last, nil
}

func (m *memory) Remove(_ context.Context, id uint64, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.entries = slices.DeleteFunc(m.entries, func(e Entry) bool { return e.ID == id })

	return nil
}

func (m *memory) Entries(context.Context) ([]Entry, error) { return slices.Clone(m.entries), nil }
func (m *memory) Close() error                             { return nil }

// leftNow returns a journal with calls that an earlier process has left now.
func leftNow(t *testing.T, calls int) *Journal {
	t.Helper()

	store := &memory{}

	for n := range calls {
		entry := testEntry(n)
		entry.Written = time.Now()
		_, _ = store.Append(t.Context(), entry)
	}

	j, err := New(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}

	return j
}

func sending(answer func(entry Entry) error) Sender {
	return SenderFunc(func(_ context.Context, entry Entry) (any, error) {
		if err := answer(entry); err != nil {
			return nil, err
		}

		return "paid " + entry.Key, nil
	})
}

func TestResumeSendsWhatWasLeftOldestFirstAndHandsOverTheAnswers(t *testing.T) {
	j := leftNow(t, 5)

	var sent, answers []string

	summary, err := j.Resume(t.Context(), testTarget, sending(func(e Entry) error { sent = append(sent, e.Key); return nil }),
		WithParallel(1),
		OnAnswer("/other", func(context.Context, Answer) error { t.Error("the function of another method was called"); return nil }),
		OnAnswer(testEntry(0).Method, func(_ context.Context, a Answer) error {
			answers = append(answers, fmt.Sprint(a.Response))

			return nil
		}))
	if err != nil || summary != (Summary{Answered: 5}) || j.Left() != 0 {
		t.Errorf("Resume: %+v, %v; %d are left", summary, err, j.Left())
	}

	if want := []string{"order-0", "order-1", "order-2", "order-3", "order-4"}; !slices.Equal(sent, want) {
		t.Errorf("sent were %v", sent)
	}

	if len(answers) != 5 || answers[4] != "paid order-4" {
		t.Errorf("the answers are %v", answers)
	}
}

func TestResumeIsBoundedInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := leftNow(t, 10)

		var (
			mu             sync.Mutex
			now, most, all int
		)

		_, err := j.Resume(t.Context(), testTarget, sending(func(Entry) error {
			mu.Lock()
			now++
			all++
			most = max(most, now)
			mu.Unlock()

			time.Sleep(time.Second)

			mu.Lock()
			now--
			mu.Unlock()

			return nil
		}), WithParallel(3))
		if err != nil || most != 3 || all != 10 {
			t.Errorf("Resume: %v; %d calls were sent, %d at a time, want 10 and 3", err, all, most)
		}
	})
}

func TestResumeLeavesUnknownOutcomesAndCallsThatWereNotExecutedNow(t *testing.T) {
	j := leftNow(t, 3)

	summary, err := j.Resume(t.Context(), testTarget, sending(func(e Entry) error {
		return map[string]error{"order-0": errUnknown, "order-1": errNotExecuted}[e.Key]
	}))
	if summary != (Summary{Answered: 1, Left: 2}) || !errors.Is(err, errUnknown) || !slices.Equal(keys(j), []string{"order-0", "order-1"}) {
		t.Errorf("Resume: %+v, %v; left are %v", summary, err, keys(j))
	}
}

func TestResumeHandsOverWhatIsOlderThanTheRetentionAndDoesNotSendIt(t *testing.T) {
	for _, test := range []struct {
		name string
		age  time.Duration
		sent bool
	}{
		{"in time", 50 * time.Minute, true},
		{"within the tolerance", 50*time.Minute + time.Nanosecond, false},
		{"after the retention", 2 * time.Hour, false},
		{"clock that was ahead", -10 * time.Minute, true},
		{"clock that was wrong", -11 * time.Minute, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memory{}
				entry := testEntry(1)
				entry.Written = time.Now().Add(-test.age)
				_, _ = store.Append(t.Context(), entry)
				j, _ := New(t.Context(), store)

				var (
					sent   bool
					reason error
				)

				summary, err := j.Resume(t.Context(), testTarget, sending(func(Entry) error { sent = true; return nil }),
					WithRetention(time.Hour),
					OnUnsent(func(_ context.Context, _ Entry, why error) error { reason = why; return nil }))
				if err != nil || sent != test.sent || errors.Is(reason, ErrTooOld) == test.sent || j.Left() != 0 {
					t.Errorf("Resume: %+v, %v; sent %v, reason %v", summary, err, sent, reason)
				}
			})
		})
	}
}

func TestResumeHandsOverCallsThatCanGetNoAnswer(t *testing.T) {
	refusal := errors.New("its deadline is over")

	for _, reason := range []error{
		onlyonce.ReasonKeyReused, onlyonce.ReasonKeyExpired, onlyonce.ReasonOutcomeNotStored, ErrTooOld, refusal,
	} {
		send := sending(func(Entry) error { return fmt.Errorf("the server: %w", reason) })
		accept := WithAccept(func(Entry) error {
			if errors.Is(reason, refusal) {
				return refusal
			}

			return nil
		})

		j := leftNow(t, 1)

		if summary, err := j.Resume(t.Context(), testTarget, send, accept); summary.Left != 1 || !errors.Is(err, reason) {
			t.Errorf("%v, without a function: %+v, %v", reason, summary, err)
		}

		failed := errors.New("nobody is there")

		summary, err := j.Resume(t.Context(), testTarget, send, accept, OnUnsent(func(context.Context, Entry, error) error { return failed }))
		if summary.Left != 1 || !errors.Is(err, failed) {
			t.Errorf("%v, with a function that fails: %+v, %v", reason, summary, err)
		}

		var got error

		summary, err = j.Resume(t.Context(), testTarget, send, accept,
			OnUnsent(func(_ context.Context, _ Entry, why error) error { got = why; return nil }))
		if summary != (Summary{Unsent: 1}) || err != nil || !errors.Is(got, reason) || j.Left() != 0 {
			t.Errorf("%v: %+v, %v; the reason is %v, %d are left", reason, summary, err, got, j.Left())
		}
	}
}

func TestAnAnswerThatTheProgramDoesNotTakeIsLeft(t *testing.T) {
	j := leftNow(t, 1)
	failed := errors.New("no room for it")

	_, err := j.Resume(t.Context(), testTarget, sending(func(Entry) error { return nil }),
		OnAnswer("", func(context.Context, Answer) error { return failed }))
	if !errors.Is(err, failed) || j.Left() != 1 {
		t.Errorf("Resume: %v; %d are left", err, j.Left())
	}
}

// careful is a store that obeys its context.
type careful struct{ memory }

func (c *careful) Remove(ctx context.Context, id uint64, durable bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}

	return c.memory.Remove(ctx, id, durable)
}

// The program has the answer, and must not get it again.
func TestACallIsRemovedAlthoughTheContextEndsInItsFunction(t *testing.T) {
	for name, accepted := range map[string]error{"OnAnswer": nil, "OnUnsent": errors.New("not this one")} {
		store := &careful{}
		entry := testEntry(1)
		entry.Written = time.Now()
		_, _ = store.Append(t.Context(), entry)
		j, _ := New(t.Context(), store)

		ctx, cancel := context.WithCancel(t.Context())

		summary, err := j.Resume(ctx, testTarget, sending(func(Entry) error { return nil }), WithAccept(func(Entry) error { return accepted }),
			OnAnswer("", func(context.Context, Answer) error { cancel(); return nil }),
			OnUnsent(func(context.Context, Entry, error) error { cancel(); return nil }))
		if err != nil || summary.Left != 0 || len(store.entries) != 0 {
			t.Errorf("%s: %+v, %v; the store has %v", name, summary, err, store.entries)
		}
	}
}

func TestResumeReturnsTheFirstErrorsAlone(t *testing.T) {
	summary, err := leftNow(t, 25).Resume(t.Context(), testTarget, sending(func(Entry) error { return errUnknown }))
	if n := strings.Count(err.Error(), "is left"); n != 10 || summary.Left != 25 {
		t.Errorf("%d errors of %d calls are returned, want 10 of 25", n, summary.Left)
	}
}

// A test that fails in a callback ends its goroutine so.
func TestACallIsLeftIfItsFunctionEndsTheGoroutine(t *testing.T) {
	j := leftNow(t, 1)

	summary, err := j.Resume(t.Context(), testTarget, sending(func(Entry) error { return nil }),
		OnAnswer("", func(context.Context, Answer) error {
			runtime.Goexit()

			return nil
		}))
	if !errors.Is(err, errUnfinished) || summary != (Summary{Left: 1}) || j.Left() != 1 {
		t.Errorf("Resume: %+v, %v; %d calls are left, want 1", summary, err, j.Left())
	}
}

// In a goroutine of Resume, a panic would end the process, and nobody could prevent that.
func TestResumePanicsInItsCallersGoroutineAfterTheOtherCalls(t *testing.T) {
	failed := errors.New("a bug")
	panics := func(key string) {
		if key == "order-1" {
			panic(failed)
		}
	}

	for name, opts := range map[string][]ResumeOption{
		"OnAnswer": {OnAnswer("", func(_ context.Context, a Answer) error { panics(a.Entry.Key); return nil })},
		"OnUnsent": {
			WithAccept(func(e Entry) error { return map[string]error{"order-1": failed}[e.Key] }),
			OnUnsent(func(_ context.Context, e Entry, _ error) error { panics(e.Key); return nil }),
		},
		"WithAccept": {WithAccept(func(e Entry) error { panics(e.Key); return nil })},
		"the Sender": nil,
	} {
		t.Run(name, func(t *testing.T) {
			store := &memory{}

			for n := range 4 {
				entry := testEntry(n)
				entry.Written = time.Now()
				_, _ = store.Append(t.Context(), entry)
			}

			j, _ := New(t.Context(), store)
			send := sending(func(e Entry) error {
				if name == "the Sender" {
					panics(e.Key)
				}

				return nil
			})

			value := func() (value any) {
				defer func() { value = recover() }()

				_, _ = j.Resume(t.Context(), testTarget, send, append(opts, WithParallel(1))...)

				return nil
			}()

			err, ok := value.(error)
			if !ok || !errors.Is(err, failed) || !strings.Contains(err.Error(), "order-1") || !strings.Contains(err.Error(), "resume_test.go") {
				t.Errorf("Resume panics with %v, want the value, the key and the stack of the function", value)
			}

			if got := keys(j); !slices.Equal(got, []string{"order-1"}) {
				t.Errorf("left are %v", got)
			}

			// The next process gets the same answer.
			again, _ := New(t.Context(), store)

			var answers []string

			summary, err := again.Resume(t.Context(), testTarget, sending(func(Entry) error { return nil }),
				OnAnswer("", func(_ context.Context, a Answer) error { answers = append(answers, a.Entry.Key); return nil }))
			if err != nil || summary.Answered != 1 || !slices.Equal(answers, []string{"order-1"}) {
				t.Errorf("the next Resume: %+v, %v; the answers are for %v", summary, err, answers)
			}
		})
	}
}

func TestResumeTouchesNoOtherTargetAndNoCallOnItsWay(t *testing.T) {
	j := leftNow(t, 1)
	begin(t, j, 7)

	none := sending(func(e Entry) error { t.Errorf("%s was sent", e.Key); return nil })

	if summary, err := j.Resume(t.Context(), "dns:///another", none); err != nil || summary != (Summary{}) {
		t.Errorf("Resume of another target: %+v, %v", summary, err)
	}

	summary, err := j.Resume(t.Context(), testTarget, sending(func(Entry) error { return nil }))
	if err != nil || summary.Answered != 1 {
		t.Errorf("Resume: %+v, %v", summary, err)
	}
}

func TestResumeSendsTheCallsOfATargetThatHasAnotherNameNow(t *testing.T) {
	j := leftNow(t, 2)
	other := testEntry(2)
	other.Target, other.Written = "dns:///another", time.Now()

	call, err := j.Begin(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}

	end(t, call, errUnknown)

	if got := j.Targets(); !slices.Equal(got, []string{"dns:///another", testTarget}) {
		t.Errorf("the targets are %v", got)
	}

	summary, err := j.Resume(t.Context(), "dns:///another", sending(func(Entry) error { return nil }), WithTarget(testTarget))
	if err != nil || summary.Answered != 2 || !slices.Equal(j.Targets(), []string{"dns:///another"}) {
		t.Errorf("Resume: %+v, %v; the targets are %v", summary, err, j.Targets())
	}
}

func TestTwoResumesSendACallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := leftNow(t, 20)

		var (
			all  sync.WaitGroup
			mu   sync.Mutex
			sent = make(map[string]int)
		)

		for range 2 {
			all.Go(func() {
				_, err := j.Resume(t.Context(), testTarget, sending(func(e Entry) error {
					mu.Lock()
					sent[e.Key]++
					mu.Unlock()
					time.Sleep(time.Second)

					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			})
		}

		all.Wait()

		for key, times := range sent {
			if times != 1 {
				t.Errorf("%s was sent %d times", key, times)
			}
		}

		if len(sent) != 20 || j.Left() != 0 {
			t.Errorf("%d calls were sent, %d are left", len(sent), j.Left())
		}
	})
}

func TestAnEndedContextStopsResume(t *testing.T) {
	j := leftNow(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	summary, err := j.Resume(ctx, testTarget, sending(func(Entry) error { t.Error("a call was sent"); return nil }))
	if summary.Left != 3 || !errors.Is(err, context.Canceled) || j.Left() != 3 {
		t.Errorf("Resume: %+v, %v; %d are left", summary, err, j.Left())
	}

	if _, err := j.Resume(t.Context(), testTarget, nil, WithParallel(0)); err == nil {
		t.Error("WithParallel(0) is accepted")
	}
}
