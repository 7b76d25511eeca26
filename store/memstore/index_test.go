package memstore

import (
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

// hashes are good and bad ones, down to one hash for all keys.
var hashes = []func(n uint32) uint32{
	func(n uint32) uint32 { return n * 0x9E3779B1 },
	func(n uint32) uint32 { return n },
	func(n uint32) uint32 { return n % 3 },
	func(n uint32) uint32 { return n << 24 },
	func(n uint32) uint32 { return n % 2 * 0xFFFFFFFF },
	func(uint32) uint32 { return 0xFFFFFFFF },
}

// FuzzIndex puts keys into places and removes them, and compares index and slabs with a map.
func FuzzIndex(f *testing.F) {
	for i := range byte(len(hashes)) {
		f.Add(i, []byte{})
		f.Add(i, []byte{0, 1, 2, 128, 0, 129, 130, 131})
		f.Add(i, []byte{0, 1, 2, 3, 4, 5, 6, 7, 135, 8, 134, 9, 133, 10, 132})
		f.Add(i, []byte{255, 254, 253, 252, 251, 250})
		f.Add(i, []byte{255, 128, 129, 130, 254, 255, 253, 252, 192, 1})
	}

	f.Fuzz(func(t *testing.T, kind byte, input []byte) {
		const (
			keys  = 128
			block = 4 * slabSize
		)

		var (
			s    slabs
			x    index
			hash = hashes[int(kind)%len(hashes)]
			want = make(map[store.Key]place)
		)

		keyOf := func(n uint32) *store.Key { return &store.Key{byte(n), byte(n >> 8)} }

		toggle := func(n uint32, add bool) {
			key := keyOf(n)
			p := x.find(&s, hash(n), key)

			if p != want[*key] {
				t.Fatalf("key %d is found in place %d, must be %d", n, p, want[*key])
			}

			switch {
			case add && p == nowhere:
				p = s.take()
				s.entry(p).key = *key
				x.insert(&s, hash(n), p)
				want[*key] = p
			case !add && p != nowhere:
				x.remove(&s, p)
				s.give(p)
				delete(want, *key)
			}
		}

		// A byte below 248 adds or removes one key. Any other byte adds or removes a block of further keys.
		for i, b := range input[:min(len(input), 500)] {
			if b < 248 {
				toggle(uint32(b%keys), b < keys)
			} else {
				for n := range uint32(block) {
					toggle(keys+uint32(b%4)*block+n, b%8 >= 4)
				}
			}

			if b >= 248 || i%16 == 0 || i == len(input)-1 {
				x.check(t, &s, s.check(t))
			}
		}

		for n := range uint32(keys + 4*block) {
			if got := x.find(&s, hash(n), keyOf(n)); got != want[*keyOf(n)] {
				t.Fatalf("in the end key %d is found in place %d, must be %d", n, got, want[*keyOf(n)])
			}
		}
	})
}

// One operation splits or joins one bucket, so buckets stay short for any number of records.
func TestTheIndexGrowsAndShrinksByOneBucketAtATime(t *testing.T) {
	t.Parallel()

	const keys = 10_000

	var (
		s slabs
		x index
	)

	for n := range uint32(keys) {
		p := s.take()
		x.insert(&s, hashes[0](n), p)

		if x.buckets.len != n+1 {
			t.Fatalf("there are %d buckets for %d keys", x.buckets.len, n+1)
		}
	}

	x.check(t, &s, s.check(t))

	for p := place(1); x.len > 0; p++ {
		before := x.buckets.len
		x.remove(&s, p)
		s.give(p)

		if before-x.buckets.len > 2 {
			t.Fatalf("%d buckets were removed with one key", before-x.buckets.len)
		}
	}

	x.check(t, &s, s.check(t))
}
