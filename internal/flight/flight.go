// Package flight lets duplicates of one process share one call. The first call of a key leads: it calls the store, and runs or waits. The
// other calls follow it and make no calls of the store.
//
// A flight has phases. It begins in Claiming, may change between the middle phases in any order, and ends in Over, when its leader lands
// it:
//
//	Claiming ──► Blocked, Running, Recovering ──► Over
//
// A follower reads the state of the flight with [Group.View], and waits for View.Changed to read it again.
package flight

import (
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// Phase is the state of a flight.
type Phase uint8

// The phases.
const (
	// Claiming means that the leader has sent its claim and has no answer.
	Claiming Phase = iota
	// Blocked means that another transaction may hold the record. Its request is not visible.
	Blocked
	// Running means that the leader runs, or that it waits for another owner that runs.
	Running
	// Recovering means that a recovery function finds out what became of a run.
	Recovering
	// Over means that the flight has landed.
	Over
)

// Flight is the state that a leader shares with its followers. The zero value is in Claiming. L is the type of its end. Only a [Group]
// accesses its fields, under the lock of the key's shard.
type Flight[L any] struct {
	phase Phase
	// fingerprint belongs to the record, which need not be the leader's. It is zero until the store has answered.
	fingerprint store.Fingerprint
	followers   int32
	// changed is made by the first view. Every change closes and removes it.
	changed chan struct{}
	landing L
}

// View is a snapshot of a flight.
type View[L any] struct {
	Phase Phase
	// Fingerprint belongs to the record of the flight, as set by the last Enter. Zero means that it is not known.
	Fingerprint store.Fingerprint
	// Landing is the end of the flight. It is set only in Over.
	Landing L
	// Changed is closed when the flight changes. It is nil in Over.
	Changed <-chan struct{}
}

const shards = 64 // a power of two

// Group has the flights of a process. The zero value is empty and ready.
type Group[L any] struct {
	shards [shards]shard[L]
}

type shard[L any] struct {
	mu      sync.Mutex
	flights map[store.Key]*Flight[L]
}

// shard uses another byte of the key than memstore, so that the shards of the two do not correlate.
func (g *Group[L]) shard(key *store.Key) *shard[L] { return &g.shards[key[1]%shards] }

// Board returns the current flight of the key. If there is none, own becomes the flight of the key and is returned. Its caller then leads,
// and must land it.
func (g *Group[L]) Board(key *store.Key, own *Flight[L]) *Flight[L] {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if other := sh.flights[*key]; other != nil {
		return other
	}

	if sh.flights == nil {
		sh.flights = make(map[store.Key]*Flight[L])
	}

	sh.flights[*key] = own

	return own
}

// Enter sets the phase of the flight, and the fingerprint of its record. It does nothing if the flight is over.
func (g *Group[L]) Enter(key *store.Key, f *Flight[L], phase Phase, fingerprint store.Fingerprint) {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase == Over || f.phase == phase && f.fingerprint == fingerprint {
		return
	}

	f.phase = phase
	f.fingerprint = fingerprint
	f.signal()
}

// Land ends the flight. The next call of the key begins another. Only the first landing counts.
func (g *Group[L]) Land(key *store.Key, f *Flight[L], how L) {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase == Over {
		return
	}

	f.phase = Over
	f.landing = how
	f.signal()

	if sh.flights[*key] == f {
		delete(sh.flights, *key)
	}
}

func (f *Flight[L]) signal() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Follow adds a follower, unless there are limit followers already. A follower that was added must call Unfollow.
func (g *Group[L]) Follow(key *store.Key, f *Flight[L], limit int) bool {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if int(f.followers) >= limit {
		return false
	}

	f.followers++

	return true
}

// Unfollow removes a follower.
func (g *Group[L]) Unfollow(key *store.Key, f *Flight[L]) {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	f.followers--
}

// View returns the state of the flight.
func (g *Group[L]) View(key *store.Key, f *Flight[L]) View[L] {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase != Over && f.changed == nil {
		f.changed = make(chan struct{})
	}

	return View[L]{Phase: f.phase, Fingerprint: f.fingerprint, Landing: f.landing, Changed: f.changed}
}

// Len returns the number of current flights. It locks every shard.
func (g *Group[L]) Len() int {
	n := 0

	for i := range g.shards {
		sh := &g.shards[i]

		sh.mu.Lock()
		n += len(sh.flights)
		sh.mu.Unlock()
	}

	return n
}
