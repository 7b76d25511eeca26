package memstore

import (
	"math/bits"

	"github.com/onlyonce-go/onlyonce/store"
)

// index finds the place of a key. It is a hash table of chained nodes that grows and shrinks by one bucket at a time (linear hashing,
// Litwin 1980). So the longest operation takes as long with ten million records as with ten.
//
//   - The chain of bucket(hash) has every place whose key has this hash. Each place is in one chain.
//   - The number of buckets is between the number of places and twice that number.
type index struct {
	buckets array[place] // the first place of each chain
	len     uint32       // the number of places in all chains
}

// bucket returns the number of a hash's bucket. It is the low bits of the hash, as many as the highest bucket number has. If there is no
// such bucket yet, it is one bit less.
func (x *index) bucket(hash uint32) uint32 {
	n := x.buckets.len
	mask := uint32(1)<<bits.Len32(n-1) - 1

	if b := hash & mask; b < n {
		return b
	}

	return hash & (mask >> 1)
}

// find returns the place of a key, or nowhere.
func (x *index) find(s *slabs, hash uint32, key *store.Key) place {
	if x.len == 0 {
		return nowhere
	}

	for p := *x.buckets.at(x.bucket(hash)); p != nowhere; {
		n := s.node(p)
		if n.hash == hash && s.entry(p).key == *key {
			return p
		}

		p = n.next
	}

	return nowhere
}

// insert adds a place whose key is not yet in the index.
func (x *index) insert(s *slabs, hash uint32, p place) {
	x.len++

	if x.buckets.len < x.len {
		x.grow(s)
	}

	s.node(p).hash = hash
	x.link(s, p)
}

// remove removes a place from the index.
func (x *index) remove(s *slabs, p place) {
	n := s.node(p)

	at := x.buckets.at(x.bucket(n.hash))
	for *at != p {
		if *at == nowhere {
			panic("memstore: a record is not in the index")
		}

		at = &s.node(*at).next
	}

	*at, n.next = n.next, nowhere
	x.len--

	for x.buckets.len > 2*x.len {
		x.shrink(s)
	}
}

// grow adds a bucket. Its places come from the bucket whose number lacks the highest bit.
func (x *index) grow(s *slabs) {
	number := x.buckets.len
	x.buckets.push(nowhere)

	if number > 0 {
		split := x.buckets.at(number &^ (1 << (bits.Len32(number) - 1)))
		chain := *split
		*split = nowhere
		x.linkAll(s, chain)
	}
}

// shrink removes the last bucket.
func (x *index) shrink(s *slabs) { x.linkAll(s, x.buckets.pop()) }

// linkAll adds each place of a chain to its bucket.
func (x *index) linkAll(s *slabs, chain place) {
	for chain != nowhere {
		next := s.node(chain).next
		x.link(s, chain)
		chain = next
	}
}

func (x *index) link(s *slabs, p place) {
	n := s.node(p)
	first := x.buckets.at(x.bucket(n.hash))
	n.next, *first = *first, p
}
