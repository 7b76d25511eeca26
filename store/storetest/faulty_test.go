package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// claimOf is a claim of the n-th key.
func claimOf(n byte) store.Claim {
	return store.Claim{Key: store.Key{n}, Token: store.Token{n}, Lease: time.Hour, MaxRun: time.Hour, Retention: time.Hour}
}

// bubble is a test on fake time, with a line to a store of its own.
type bubble struct {
	*testing.T

	line *storetest.Faulty
	far  *memstore.Store
}

// in runs a test on a line that is closed at the end.
func in(t *testing.T, faults storetest.Faults, test func(b *bubble)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		far := memstore.New()

		line := storetest.NewFaulty(far, 1, faults)
		defer line.Close()

		test(&bubble{t, line, far})
	})
}

// claim claims key 1.
func (b *bubble) claim() error {
	b.Helper()

	res, err := b.line.Store().Claim(b.Context(), claimOf(1))
	if err == nil && !res.Applied {
		b.Errorf("a claim of a new key was answered with %+v", res)
	}

	return err
}

// firstKey checks what the far store has of key 1.
func (b *bubble) firstKey(want store.State) {
	b.Helper()

	res, err := b.far.Lookup(b.Context(), store.Key{1})
	if err != nil || res.Record.State != want {
		b.Errorf("the far store has %v, %v; want %v", res.Record.State, err, want)
	}
}

func TestALineWithoutFaultsKeepsTheContract(t *testing.T) {
	t.Parallel()

	storetest.Run(t, func(t *testing.T) store.Store {
		t.Helper()

		line := storetest.NewFaulty(memstore.New(), 1, storetest.Faults{})
		t.Cleanup(line.Close)

		return line.Store()
	}, storetest.InBubble())
}

func TestWhatBecomesOfAnOperation(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		faults   storetest.Faults
		err      error
		at, then store.State
	}{
		{storetest.Faults{}, nil, store.Running, store.Running},
		{storetest.Faults{LostRequest: 1}, storetest.ErrInjected, store.Absent, store.Absent},
		{storetest.Faults{LostReply: 1}, storetest.ErrInjected, store.Running, store.Running},
		{storetest.Faults{Late: 1, Delay: time.Minute}, storetest.ErrInjected, store.Absent, store.Running},
		{storetest.Faults{Repeat: 1, Delay: time.Minute}, nil, store.Running, store.Running},
		{storetest.Faults{Error: 1}, storetest.ErrInjected, store.Absent, store.Absent},
		{storetest.Faults{Full: 1}, store.ErrFull, store.Absent, store.Absent},
		{storetest.Faults{Slow: 1, Delay: time.Minute}, nil, store.Running, store.Running},
	} {
		t.Run(fmt.Sprintf("%+v", c.faults), func(t *testing.T) {
			t.Parallel()

			in(t, c.faults, func(b *bubble) {
				if err := b.claim(); !errors.Is(err, c.err) {
					b.Errorf("got %v, want %v", err, c.err)
				}

				b.firstKey(c.at)
				time.Sleep(time.Minute)
				synctest.Wait()
				b.firstKey(c.then)
			})
		})
	}
}

func TestASlowOperationEndsWithItsContext(t *testing.T) {
	t.Parallel()

	arrived := 0

	for n := range byte(100) {
		in(t, storetest.Faults{Slow: 1, Delay: time.Minute}, func(b *bubble) {
			ctx, cancel := context.WithTimeout(b.Context(), time.Second)
			defer cancel()

			began := time.Now()
			_, err := b.line.Store().Claim(ctx, claimOf(n))

			if took := time.Since(began); err != nil && (!errors.Is(err, context.DeadlineExceeded) || took != time.Second) {
				b.Errorf("got %v after %v, want the context's error when it ends", err, took)
			}

			arrived += b.far.Len()
		})
	}

	if arrived == 0 || arrived == 100 {
		t.Errorf("%d of 100 operations have arrived; want those whose answers were on their way", arrived)
	}
}

func TestALateOperationArrivesOnceOrTwice(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		near := storetest.NewFaulty(b.line.Store(), 1, storetest.Faults{Late: 1, LateBy: time.Minute})
		defer near.Close()

		for n := range byte(100) {
			_, _ = near.Store().Claim(b.Context(), claimOf(n))
		}

		near.Flush()

		if n := b.line.Count(storetest.FaultNone, storetest.OpClaim); n <= 120 || n >= 180 {
			b.Errorf("100 late operations have arrived %d times, want about 150", n)
		}
	})
}

func TestFlushLetsArriveWhatIsLate(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{Late: 1, LateBy: time.Hour}, func(b *bubble) {
		began := time.Now()
		_ = b.claim()

		b.line.Flush()
		b.firstKey(store.Running)

		if took := time.Since(began); took != 0 {
			b.Errorf("Flush took %v", took)
		}
	})
}

// stuckStore answers a claim when its context ends.
type stuckStore struct{ *memstore.Store }

func (stuckStore) Claim(ctx context.Context, _ store.Claim) (store.Result, error) {
	<-ctx.Done()

	return store.Result{}, ctx.Err()
}

// The bubble reports what Close leaves behind.
func TestCloseLeavesNothingBehind(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		line := storetest.NewFaulty(stuckStore{b.far}, 1, storetest.Faults{Late: 1, LateBy: time.Minute})

		for n := range byte(100) {
			_, _ = line.Store().Claim(b.Context(), claimOf(n))
		}

		time.Sleep(30 * time.Second) // about half of them are being decided
		line.Close()
		line.Close()

		if _, err := line.Store().Claim(b.Context(), claimOf(200)); !errors.Is(err, storetest.ErrInjected) {
			b.Errorf("a claim on a closed line: %v", err)
		}
	})
}

func TestNextMeetsOneOperationOfItsKind(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		b.line.Next(storetest.OpComplete, storetest.FaultLostReply, storetest.FaultNone)

		if err := b.claim(); err != nil {
			b.Errorf("a claim met the fault of a completion: %v", err)
		}

		op := store.Completion{Key: store.Key{1}, Token: store.Token{1}}
		if _, err := b.line.Store().Complete(b.Context(), op); !errors.Is(err, storetest.ErrInjected) {
			b.Errorf("the reply of the completion was not lost: %v", err)
		}

		b.firstKey(store.Completed)

		if res, err := b.line.Store().Complete(b.Context(), op); err != nil || !res.Applied {
			b.Errorf("a repeat of the completion: %+v, %v", res, err)
		}

		if n := b.line.Count(storetest.FaultLostReply); n != 1 {
			b.Errorf("%d lost replies were counted", n)
		}
	})
}

func TestSetChangesSomeOperations(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		b.line.Set(storetest.Faults{LostRequest: 1}, storetest.OpRenew, storetest.OpLookup)

		if err := b.claim(); err != nil {
			b.Error(err)
		}

		renewal := store.Renewal{Key: store.Key{1}, Token: store.Token{1}, Lease: time.Hour}
		if _, err := b.line.Store().Renew(b.Context(), renewal); err == nil {
			b.Error("the renewal has arrived")
		}

		b.line.Set(storetest.Faults{})

		if _, err := b.line.Store().Renew(b.Context(), renewal); err != nil {
			b.Error(err)
		}
	})
}

// history is what becomes of some operations of three keys, whose turns are taken in the given order.
func history(t *testing.T, seed uint64, turns string) map[rune]string {
	t.Helper()

	line := storetest.NewFaulty(memstore.New(), seed, storetest.Faults{LostRequest: 0.2, LostReply: 0.2, Error: 0.2, Full: 0.2})
	defer line.Close()

	told := make(map[rune]string)

	for _, key := range turns {
		_, err := line.Store().Claim(t.Context(), claimOf(byte(key)))
		told[key] += fmt.Sprintln(err)
	}

	return told
}

func TestTheSeedDecidesWhateverTheOrderOfTheKeys(t *testing.T) {
	t.Parallel()

	one := history(t, 7, "aaaaaaaaaabbbbbbbbbbcccccccccc")
	two := history(t, 7, "abcabcabcabcabcabcabcabcabcabc")
	other := history(t, 8, "aaaaaaaaaabbbbbbbbbbcccccccccc")

	for _, key := range "abc" {
		if one[key] != two[key] {
			t.Errorf("key %c met different faults:\n%s\n%s", key, one[key], two[key])
		}
	}

	if one['a'] == one['b'] || one['a'] == other['a'] {
		t.Error("different keys or seeds met the same faults")
	}
}

func TestFaultsComeWithTheirProbability(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{
		LostRequest: 0.1, LostReply: 0.1, Late: 0.1, Repeat: 0.1, Error: 0.1, Full: 0.1, Slow: 0.1, Delay: time.Second,
	}, func(b *bubble) {
		for range 2_000 {
			_ = b.claim()
		}

		for fault := storetest.FaultLostRequest; fault <= storetest.FaultSlow; fault++ {
			if n := b.line.Count(fault, storetest.OpClaim); n < 150 || n > 250 {
				b.Errorf("%d of 2000 operations met %q, want about 200", n, fault)
			}
		}
	})
}

// able is a store that can do what it is told.
type able struct {
	store.Store

	can store.Capabilities
}

func (a able) Capabilities() store.Capabilities { return a.can }

func TestTheNearStoreCanDoWhatTheFarOneCan(t *testing.T) {
	t.Parallel()

	far := memstore.New()

	for name, can := range map[string]store.Capabilities{
		"nothing":   {},
		"all":       far.Capabilities(),
		"Inspector": {Inspector: far},
		"Lister":    {Lister: far},
		"Forgetter": {Forgetter: far},
		"Notifier":  {Notifier: far},
		"places":    {UnknownRetention: time.Hour, Part: func(store.Key) string { return "p" }, Home: "h"},
		"blocks":    {Immediate: true, Bounded: true},
	} {
		near := storetest.NewFaulty(able{far, can}, 1, storetest.Faults{}).Store().Capabilities()

		for what, has := range map[string][2]bool{
			"Inspector": {near.Inspector != nil, can.Inspector != nil},
			"Lister":    {near.Lister != nil, can.Lister != nil},
			"Forgetter": {near.Forgetter != nil, can.Forgetter != nil},
			"Notifier":  {near.Notifier != nil, can.Notifier != nil},
			"Part":      {near.Part != nil, can.Part != nil},
			"Home":      {near.Home != nil, near.Home == can.Home && can.Home != nil},
			"life":      {near.UnknownRetention == can.UnknownRetention, true},
			"blocks":    {near.Immediate || near.Bounded || near.Transactional != nil, false},
		} {
			if has[0] != has[1] {
				t.Errorf("a far store that can do %s: %s is %t, must be %t", name, what, has[0], has[1])
			}
		}
	}
}

func TestAListAndAForgettingGoThroughTheLine(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		near := b.line.Store().Capabilities()
		_, _ = b.far.Claim(b.Context(), claimOf(1))
		_, _ = b.far.Hold(b.Context(), store.Hold{Key: store.Key{1}, Token: store.Token{1}})

		list := func() (n int, err error) {
			for _, problem := range near.Lister.ListUnknown(b.Context()) {
				if problem != nil {
					return n, problem
				}

				n++
			}

			return n, nil
		}

		b.line.Next(storetest.OpList, storetest.FaultLostReply)

		if n, err := list(); n != 0 || !errors.Is(err, storetest.ErrInjected) {
			b.Errorf("a lost list yields %d records and %v", n, err)
		}

		if n, err := list(); n != 1 || err != nil {
			b.Errorf("a list yields %d records and %v, must be 1", n, err)
		}

		op := store.Forgetting{Key: store.Key{1}, Token: store.Token{1}, Fence: 1, Force: true}
		b.line.Next(storetest.OpForget, storetest.FaultLostRequest)

		if _, err := near.Forgetter.Forget(b.Context(), op); !errors.Is(err, storetest.ErrInjected) || b.far.Len() != 1 {
			b.Errorf("a forgetting that was lost: %v, and %d records are left", err, b.far.Len())
		}

		if res, err := near.Forgetter.Forget(b.Context(), op); err != nil || !res.Applied {
			b.Errorf("a forgetting: applied=%t, %v", res.Applied, err)
		}
	})
}

func TestALostWatchIsNeverNotified(t *testing.T) {
	t.Parallel()

	in(t, storetest.Faults{}, func(b *bubble) {
		near := b.line.Store().Capabilities().Notifier

		b.line.Next(storetest.OpWatch, storetest.FaultLostReply, storetest.FaultSlow)

		lost, stopLost := near.Watch(store.Key{1})
		defer stopLost()

		kept, stopKept := near.Watch(store.Key{1})
		defer stopKept()

		_, _ = b.far.Claim(b.Context(), claimOf(1))
		_, _ = b.far.Release(b.Context(), store.Release{Claim: claimOf(1)})

		<-kept

		select {
		case <-lost:
			b.Error("a lost watch was told")
		default:
		}
	})
}

func TestImpossibleFaultsPanic(t *testing.T) {
	t.Parallel()

	for _, faults := range []storetest.Faults{
		{LostRequest: -0.1}, {Late: 1.1}, {Slow: 0.6, Error: 0.6}, {Delay: -1}, {LateBy: -1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewFaulty(%+v) did not panic", faults)
				}
			}()

			storetest.NewFaulty(memstore.New(), 1, faults)
		}()
	}
}

func TestOpsAndFaultsHaveNames(t *testing.T) {
	t.Parallel()

	for op := storetest.OpClaim; op <= storetest.OpList; op++ {
		if name := op.String(); name == "" || name[:1] == "O" {
			t.Errorf("operation %d is called %q", op, name)
		}
	}

	for fault := storetest.FaultNone; fault <= storetest.FaultSlow; fault++ {
		if name := fault.String(); name == "" || name[:1] == "F" {
			t.Errorf("fault %d is called %q", fault, name)
		}
	}

	if got := fmt.Sprint(storetest.Op(99), storetest.Fault(99)); got != "Op(99) Fault(99)" {
		t.Error(got)
	}
}
