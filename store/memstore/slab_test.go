package memstore

import (
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/onlyonce-go/onlyonce/store"
)

func (s *slabs) memories() (n int) {
	for i := range s.all {
		if s.all[i].nodes != nil {
			n++
		}
	}

	return n
}

func TestNobodyGetsThePlaceNowhere(t *testing.T) {
	t.Parallel()

	var s slabs

	for range 3 {
		all := make([]place, 0, 3*slabSize)

		for range 3 * slabSize {
			p := s.take()
			if p == nowhere || slices.Contains(all, p) {
				t.Fatalf("place %d is handed out after %v", p, all)
			}

			all = append(all, p)
		}

		for _, p := range all {
			s.give(p)
		}

		s.check(t)
	}
}

func TestSlabsWithoutRecordsGiveTheirMemoryBack(t *testing.T) {
	t.Parallel()

	var s slabs

	all := make([]place, 0, 100*slabSize)

	for range 100 * slabSize {
		all = append(all, s.take())
	}

	// The places of every other slab.
	for _, p := range all {
		if p/slabSize%2 == 1 {
			s.give(p)
		}
	}

	// The last slab has one place: that which slab 0 lacks.
	if got := s.memories(); got != 51 {
		t.Errorf("%d slabs have memory, must be 51", got)
	}

	s.check(t)

	for range 50*slabSize - 1 {
		s.take()
	}

	if got := len(s.all); got != 101 {
		t.Errorf("the places are not used again: there are %d slabs", got)
	}

	s.check(t)
}

func TestARecordThatComesAndGoesAllocatesNoSlab(t *testing.T) {
	var s slabs

	for range slabSize - 1 {
		s.take() // all of slab 0
	}

	s.give(s.take())

	if got := testing.AllocsPerRun(100, func() { s.give(s.take()) }); got != 0 {
		t.Errorf("taking a place and giving it back makes %v allocations", got)
	}
}

func TestARecordThatGoesLeavesItsTextsToTheCollector(t *testing.T) {
	t.Parallel()

	s := New()
	claim := store.Claim{Key: store.Key{1}, Token: store.Token{1}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour}

	if res, err := s.Claim(t.Context(), claim); err != nil || !res.Applied {
		t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
	}

	done := store.Completion{Key: claim.Key, Token: claim.Token, Outcome: make([]byte, 100)}
	kept := weak.Make(&done.Outcome[0])

	if res, err := s.Complete(t.Context(), done); err != nil || !res.Applied {
		t.Fatalf("completion: applied=%t, error %v", res.Applied, err)
	}

	done.Outcome = nil

	runtime.GC()

	if kept.Value() == nil {
		t.Fatal("the store does not keep an outcome")
	}

	if res, err := s.Forget(t.Context(), store.Forgetting{Key: claim.Key, Token: claim.Token, Fence: 1}); err != nil || !res.Applied {
		t.Fatalf("forgetting: applied=%t, error %v", res.Applied, err)
	}

	runtime.GC()

	if kept.Value() != nil {
		t.Error("the outcome of a record that was removed is kept")
	}

	runtime.KeepAlive(s)
}

// Another key reuses the place. An operation for the first key does not touch the record of the second.
func TestThePlaceOfARecordThatWasRemovedIsFencedFromItsOwner(t *testing.T) {
	t.Parallel()

	s := New()
	sh := &s.shards[0]
	old := store.Claim{Key: store.Key{0, 1}, Token: store.Token{1}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour}
	next := store.Claim{Key: store.Key{0, 2}, Token: store.Token{2}, Guarantee: store.AtMostOnce, Lease: time.Hour, Retention: time.Hour}

	if res, err := s.Claim(t.Context(), old); err != nil || !res.Applied {
		t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
	}

	was := sh.index.find(&sh.slabs, s.hash(&old.Key), &old.Key)

	if res, err := s.Forget(t.Context(), store.Forgetting{Key: old.Key, Token: old.Token, Fence: 1, Force: true}); err != nil || !res.Applied {
		t.Fatalf("forgetting: applied=%t, error %v", res.Applied, err)
	}

	if res, err := s.Claim(t.Context(), next); err != nil || !res.Applied {
		t.Fatalf("claim: applied=%t, error %v", res.Applied, err)
	}

	if is := sh.index.find(&sh.slabs, s.hash(&next.Key), &next.Key); is != was {
		t.Fatalf("the next key is in place %d, must be in %d", is, was)
	}

	for what, key := range map[string]store.Key{"its own key": old.Key, "the next key": next.Key} {
		if res, err := s.Renew(t.Context(), store.Renewal{Key: key, Token: old.Token, Lease: time.Hour}); err != nil || res.Applied {
			t.Errorf("a renewal of %s by the first owner: applied=%t, error %v", what, res.Applied, err)
		}

		if res, err := s.Complete(t.Context(), store.Completion{Key: key, Token: old.Token}); err != nil || res.Applied {
			t.Errorf("a completion of %s by the first owner: applied=%t, error %v", what, res.Applied, err)
		}
	}

	if res, err := s.Lookup(t.Context(), next.Key); err != nil || res.Record.State != store.Running || res.Record.Token != next.Token {
		t.Errorf("the record of the next key is %+v, error %v", res.Record, err)
	}
}
