package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// What a locked table costs is connections: one for each operation that runs out of time.
func TestOperationsAreKeptFromADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		const callers = 16

		var (
			g      = newGate(PostgreSQL, time.Second)
			locked atomic.Bool
			sent   atomic.Int64
			failed atomic.Int64
		)

		locked.Store(true)

		send := func(ctx context.Context) error {
			sent.Add(1)

			for locked.Load() {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}

			return nil
		}
		operate := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()

			err := g.pass(ctx, send)
			if err == nil {
				err = send(ctx)
				g.note(ctx, err)
				g.wrote(err)
			}

			if err != nil {
				failed.Add(1)

				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			}
		}

		for range callers {
			go func() {
				for range 30 {
					operate()
				}
			}()
		}

		time.Sleep(13*time.Second + 50*time.Millisecond)

		if n := sent.Load(); n > callers+13+4 {
			t.Errorf("%d statements were sent in 13 seconds", n)
		}

		locked.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()

		before := failed.Load()
		operate()

		if failed.Load() != before || g.silent.Load() != 0 {
			t.Error("the database answers again, and an operation has failed")
		}
	})
}

func TestOneLockedRecordDoesNotKeepOperationsFromTheDatabase(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		g := newGate(PostgreSQL, time.Second)

		for range 10 * silentMost {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)

			if err := g.pass(ctx, func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}

			<-ctx.Done()
			g.note(ctx, ctx.Err())
			cancel()
		}
	})
}

// A caller that leaves has learned nothing about the database.
func TestCallerThatLeavesDoesNotOpenTheGate(t *testing.T) {
	t.Parallel()

	g := shut()

	gone, leave := context.WithCancel(t.Context())

	err := g.pass(gone, func(ctx context.Context) error {
		leave()

		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || g.silent.Load() != silentMost {
		t.Errorf("a probe: %v, silent is %d", err, g.silent.Load())
	}

	g.note(gone, gone.Err())

	if g.silent.Load() != silentMost {
		t.Errorf("an operation: silent is %d", g.silent.Load())
	}

	g.wrote(answered("23505"))

	if g.silent.Load() != 0 {
		t.Error("an answer of the database does not count")
	}
}

// shut is a gate of PostgreSQL that is shut.
func shut() *gate {
	g := newGate(PostgreSQL, time.Second)
	g.silent.Store(silentMost)

	return g
}

// A server that bounds its waits by itself ends them while the table is locked.
func TestWaitThatTheServerHasEndedDoesNotOpenTheGate(t *testing.T) {
	t.Parallel()

	for _, state := range []string{"55P03", "57014"} {
		g, err := shut(), error(answered(state))

		if got := g.pass(t.Context(), func(context.Context) error { return err }); !errors.Is(got, err) || !g.shut() {
			t.Errorf("%s: a probe: %v, shut is %t", state, got, g.shut())
		}

		g.note(t.Context(), err)
		g.wrote(err)

		if !g.shut() {
			t.Errorf("%s: an operation opens the gate", state)
		}
	}
}

// An operation that was answered may only have read, and some locks let reads pass.
func TestOnlyAnAnsweredWriteEndsTheSilence(t *testing.T) {
	t.Parallel()

	g := shut()
	g.note(t.Context(), nil)
	g.note(t.Context(), answered("42P01"))
	g.wrote(errors.New("connection reset"))

	if !g.shut() {
		t.Error("a read opens the gate, or a write without an answer")
	}

	g.wrote(nil)

	if g.shut() {
		t.Error("a write does not open the gate")
	}
}

// MySQL's claim of a transaction ends its wait for a lock before its time is over, to see who holds the record.
func TestStatementThatIsGivenUpEarlyCountsAsSilence(t *testing.T) {
	t.Parallel()

	early, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()

	g := newGate(MySQL, time.Second)
	g.note(t.Context(), fmt.Errorf("%w: %w", errRaced, silence(early, errors.New("invalid connection"))))

	if n := g.silent.Load(); n != 1 {
		t.Errorf("silent is %d", n)
	}
}

func TestWhoWaitsAtTheGateProbesWhenTheProbeBeforeHasFailed(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		g := shut()

		hurried, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()

		go func() { _ = g.pass(hurried, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) }()

		synctest.Wait()

		// Nobody else comes.
		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		began := time.Now()

		if err := g.pass(patient, func(context.Context) error { return nil }); err != nil || time.Since(began) > probeEvery || g.shut() {
			t.Errorf("after %v: %v, shut is %t", time.Since(began), err, g.shut())
		}
	})
}

// The context of a claim for a transaction has time for several.
func TestProbeThatGetsNoAnswerLeavesTimeForAnother(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		g, probes := shut(), 0

		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		err := g.pass(patient, func(ctx context.Context) error {
			probes++

			if probes > 1 {
				return nil // on another connection
			}

			<-ctx.Done()

			return ctx.Err()
		})
		if err != nil || probes != 2 || patient.Err() != nil {
			t.Errorf("after %d probes: %v", probes, err)
		}
	})
}

func TestSilentDatabaseIsProbedOnceASecondHoweverLittleTimeOperationsHave(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		const seconds = 10

		var (
			g      = shut()
			probes atomic.Int64
			over   = time.Now().Add(seconds * time.Second)
			all    sync.WaitGroup
		)

		for range 16 {
			all.Go(func() {
				for time.Now().Before(over) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)

					if err := g.pass(ctx, func(ctx context.Context) error { probes.Add(1); <-ctx.Done(); return ctx.Err() }); err == nil {
						t.Error("an operation passes")
					}

					cancel()
				}
			})
		}

		all.Wait()

		if n := probes.Load(); n < seconds || n > seconds+1 {
			t.Errorf("%d probes in %d seconds", n, seconds)
		}
	})
}

func TestProbeInWhichTheDriverPanicsIsOver(t *testing.T) {
	t.Parallel()

	g := shut()

	func() {
		defer func() { _ = recover() }()

		_ = g.pass(t.Context(), func(context.Context) error { panic("the driver") })
	}()

	if g.probing || !g.shut() {
		t.Errorf("probing is %t, shut is %t", g.probing, g.shut())
	}
}

func TestOperationWithoutTimeDoesNotProbe(t *testing.T) {
	t.Parallel()

	g := shut()

	over, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()

	err := g.pass(over, func(context.Context) error { t.Error("it probes"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errSilent) || g.probing {
		t.Errorf("%v, probing is %t", err, g.probing)
	}
}

func TestWaitForRoomIsNoSilenceOfTheDatabase(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s := &Store{dialect: PostgreSQL, gate: newGate(PostgreSQL, time.Second), room: make(chan struct{}, 1)}
		s.timeout = time.Second
		s.room <- struct{}{}

		for range 2 * silentMost {
			_, _, err := s.Begin(t.Context(), store.Claim{}, time.Second)
			if !errors.Is(err, store.ErrFull) || s.gate.silent.Load() != 0 {
				t.Fatalf("silent is %d: %v", s.gate.silent.Load(), err)
			}
		}
	})
}

// timerless is a context with a deadline that does not end it, as the engine's contexts are.
type timerless struct {
	context.Context

	until time.Time
}

func (c timerless) Deadline() (time.Time, bool) { return c.until, true }

func TestTransactionWaitsAtTheGateNoLongerThanItsCallerAndItsDeadline(t *testing.T) {
	t.Parallel()

	for _, leaves := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			const deadline = 11 * time.Second

			s := &Store{dialect: PostgreSQL, gate: shut()}
			s.timeout, s.gate.probing = time.Second, true

			caller, leave := context.WithCancel(t.Context())
			defer leave()

			began := time.Now()
			defer time.AfterFunc(leaves, leave).Stop()

			_, _, err := s.Begin(timerless{caller, began.Add(deadline)}, store.Claim{}, time.Second)
			if took := time.Since(began); !errors.Is(err, errSilent) || took != min(leaves, deadline) {
				t.Errorf("the caller leaves after %v, and Begin returned after %v: %v", leaves, took, err)
			}
		})
	}
}

func TestAnswersOfTheDatabaseAreNoSilence(t *testing.T) {
	t.Parallel()

	over, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()

	gone, leave := context.WithCancel(t.Context())
	leave()

	for _, tt := range []struct {
		ctx    context.Context
		err    error
		silent bool
	}{
		{over, context.DeadlineExceeded, true},
		{over, errors.New("i/o timeout"), true},
		{over, answered("55P03"), false},
		{over, nil, false},
		{gone, context.Canceled, false},
		{t.Context(), errors.New("connection refused"), false},
	} {
		if got := silence(tt.ctx, tt.err) != nil; got != tt.silent {
			t.Errorf("%v, %v: silent is %t", tt.ctx.Err(), tt.err, got)
		}
	}
}
