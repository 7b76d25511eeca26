// Package flight lets duplicates of one process share one call: the first call of a key leads, talks to the store, and runs or
// waits. The others follow it and cost the store nothing.
//
// A flight has phases. It begins in Claiming, enters others in any order, and ends in Over, when its leader lands it:
//
//	Claiming ──► Blocked, Running, Recovering ──► Over
//
// A follower looks at the flight with [Group.View], and waits for View.Changed to look again.
package flight

import (
	"sync"

	"github.com/onlyonce-go/onlyonce/store"
)

// Phase is how far a flight has come.
type Phase uint8

// The phases.
const (
	// Claiming means that the leader has sent its claim and has no answer.
	Claiming Phase = iota
	// Blocked means that another transaction may hold the record. Nobody can see for which request.
	Blocked
	// Running means that somebody runs: the leader, or the owner that the leader waits for.
	Running
	// Recovering means that a recovery function finds out what became of a run.
	Recovering
	// Over means that the flight has landed.
	Over
)

// Flight is what a leader shares with its followers. The zero value is one in Claiming. L is how it ends. Only a [Group] touches
// its fields, under the lock of the key's shard.
type Flight[L any] struct {
	phase Phase
	// fingerprint is that of the record, which need not be the leader's. It is known once the store has answered.
	fingerprint store.Fingerprint
	followers   int32
	// changed is made by the first view, and closed and forgotten at every change.
	changed chan struct{}
	landing L
}

// View is what a follower sees of a flight.
type View[L any] struct {
	Phase Phase
	// Fingerprint is that of the record that the flight is about, as the last Enter gave it. Zero means that it is not known.
	Fingerprint store.Fingerprint
	// Landing is how the flight has ended. It counts in Over.
	Landing L
	// Changed is closed when there is more to see. It is nil in Over.
	Changed <-chan struct{}
}

const shards = 64 // a power of two

// Group are the flights of a process. The zero value is an empty one.
type Group[L any] struct {
	shards [shards]shard[L]
}

type shard[L any] struct {
	mu      sync.Mutex
	flights map[store.Key]*Flight[L]
}

// shard spreads by another byte than memstore does, so that the two do not correlate.
func (g *Group[L]) shard(key *store.Key) *shard[L] { return &g.shards[key[1]%shards] }

// Board returns the flight of the key that is under way. Where there is none, own becomes the flight of the key and is returned:
// its caller leads, and must land it.
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

// Enter lets the followers see what the flight has come to, and whose record it is about. It does nothing once the flight is over.
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

// Land ends the flight. The next call of the key starts another. The first landing counts.
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

// Follow counts a follower in, unless there are limit already. Who was counted in has to Unfollow.
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

// Unfollow counts a follower out.
func (g *Group[L]) Unfollow(key *store.Key, f *Flight[L]) {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	f.followers--
}

// View looks at the flight.
func (g *Group[L]) View(key *store.Key, f *Flight[L]) View[L] {
	sh := g.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase != Over && f.changed == nil {
		f.changed = make(chan struct{})
	}

	return View[L]{Phase: f.phase, Fingerprint: f.fingerprint, Landing: f.landing, Changed: f.changed}
}

// Len is how many flights are under way. It looks at every shard.
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
