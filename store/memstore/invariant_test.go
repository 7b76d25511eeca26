package memstore

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

// check fails if an invariant of the shard's types is broken.
func (sh *shard) check(t *testing.T) {
	t.Helper()

	taken := sh.slabs.check(t)
	sh.index.check(t, &sh.slabs, taken)

	expire, holders := 0, make(map[uint32]uint32)

	for p := range taken {
		ent := sh.slabs.entry(p)
		if ent.state == store.Absent {
			t.Fatalf("place %d is taken by an absent record", p)
		}

		if ent.method != 0 {
			holders[ent.method]++
		}

		if due := sh.slabs.node(p).due; (due == 0) != (ent.expires == 0) {
			t.Fatalf("place %d expires at %d and has position %d in the heap", p, ent.expires, due)
		} else if due != 0 {
			expire++

			if got, want := *sh.expiries.heap.at(due - 1), (expiry{ent.expires, p}); got != want {
				t.Fatalf("place %d has the expiry %+v, must be %+v", p, got, want)
			}
		}
	}

	sh.expiries.check(t, expire)
	sh.names.check(t, holders)
}

// check returns the places that are taken.
func (s *slabs) check(t *testing.T) map[place]bool {
	t.Helper()

	open := make(map[uint32]bool)
	for _, number := range s.open {
		if open[number] {
			t.Fatalf("slab %d is open twice", number)
		}

		open[number] = true
	}

	taken := make(map[place]bool)

	for number := range s.all {
		sl := &s.all[number]
		if (sl.taken != allTaken) != open[uint32(number)] {
			t.Fatalf("slab %d is open: %t, its places are %b", number, open[uint32(number)], sl.taken)
		}

		if (sl.taken == 0) != (sl.nodes == nil) {
			t.Fatalf("slab %d has memory: %t, its places are %b", number, sl.nodes != nil, sl.taken)
		}

		for i := range slabSize {
			if p := place(number*slabSize + i); sl.taken>>i&1 == 0 {
				sl.checkZero(t, i)
			} else if p != nowhere {
				taken[p] = true
			}
		}
	}

	for i := range slabSize {
		s.spare.checkZero(t, i)
	}

	return taken
}

func (sl *slab) checkZero(t *testing.T, i int) {
	t.Helper()

	if sl.nodes == nil {
		return
	}

	text := sl.texts[i/textsSize][i%textsSize]
	if sl.nodes[i] != (node{}) || sl.entries[i] != (entry{}) || text.outcome != nil || text.readableKey != "" {
		t.Fatalf("a place that is not taken keeps %+v, %+v, %+v", sl.nodes[i], sl.entries[i], text)
	}
}

func (x *index) check(t *testing.T, s *slabs, taken map[place]bool) {
	t.Helper()

	if int(x.len) != len(taken) || x.buckets.len < x.len || x.buckets.len > 2*x.len {
		t.Fatalf("the index has %d of %d places in %d buckets", x.len, len(taken), x.buckets.len)
	}

	seen := make(map[place]bool)

	for b := range x.buckets.len {
		for p := *x.buckets.at(b); p != nowhere; p = s.node(p).next {
			if !taken[p] || seen[p] || x.bucket(s.node(p).hash) != b {
				t.Fatalf("bucket %d has place %d: taken=%t, seen before=%t, its bucket is %d", b, p, taken[p], seen[p], x.bucket(s.node(p).hash))
			}

			seen[p] = true
		}
	}

	if len(seen) != len(taken) {
		t.Fatalf("%d places are in buckets, must be %d", len(seen), len(taken))
	}
}

func (x *expiries) check(t *testing.T, want int) {
	t.Helper()

	if int(x.heap.len) != want {
		t.Fatalf("%d records are in the heap, must be %d", x.heap.len, want)
	}

	for i := uint32(1); i < x.heap.len; i++ {
		if above := (i - 1) / 2; x.heap.at(above).at > x.heap.at(i).at {
			t.Fatalf("position %d is earlier than %d above it", i, above)
		}
	}
}

func (n *names) check(t *testing.T, holders map[uint32]uint32) {
	t.Helper()

	if len(n.numbers) != len(holders) || len(n.all) != len(n.numbers)+len(n.free) {
		t.Fatalf("%d names are known, %d of %d numbers are free, records have %d names", len(n.numbers), len(n.free), len(n.all), len(holders))
	}

	for text, number := range n.numbers {
		if got := n.all[number-1]; got.text != text || got.holders != holders[number] {
			t.Fatalf("%q has number %d, which is %+v and has %d holders", text, number, got, holders[number])
		}
	}
}
