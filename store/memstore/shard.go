package memstore

import (
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// expirePerOperation is how many expired records an operation removes at most. It is greater than 1, so that removal keeps up with
// insertion.
const expirePerOperation = 2

// shard is a part of the store under its own lock.
//
// A record has a place. The index has its key, the slabs its content, and the expiries its place if it expires.
type shard struct {
	mu       sync.Mutex
	slabs    slabs
	index    index
	expiries expiries
	names    names
	watches  map[store.Key]*watch
}

// do performs one operation atomically, in res. It returns how many expired records it removed.
func (sh *shard) do(s *Store, key *store.Key, op any, res *store.Result) (expired int, err error) {
	hash := s.hash(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	res.Now = s.now()
	expired = sh.expire(s, res.Now, expirePerOperation)

	p := sh.index.find(&sh.slabs, hash, key)
	if p != nowhere {
		sh.read(p, &res.Record)
	}

	var changed bool

	res.Applied, changed = apply(op, &res.Record, res.Now)
	if !changed {
		return expired, nil
	}

	if res.Applied && s.unknownRetention > 0 {
		res.Record.KeepUnsettled(s.unknownRetention, res.Now)
	}

	switch {
	case res.Record.State == store.Absent:
		sh.remove(s, p)
	case p != nowhere:
		s.resize(sh.slabs.entry(p).scope, sizeOf(&res.Record)-sh.slabs.text(p).size())
		sh.write(p, &res.Record)
	default:
		if err := s.reserve(scopeOf(op), sizeOf(&res.Record)); err != nil {
			*res = store.Result{}

			return expired, err
		}

		sh.write(sh.add(hash, key, scopeOf(op)), &res.Record)
	}

	if res.Record.State != store.Running {
		sh.wake(*key)
	}

	return expired, nil
}

// add takes a place for a new key. The record counts for the scope.
func (sh *shard) add(hash uint32, key *store.Key, scope uint64) place {
	p := sh.slabs.take()
	sh.index.insert(&sh.slabs, hash, p)

	ent := sh.slabs.entry(p)
	ent.key, ent.scope = *key, scope

	return p
}

// read fills rec with the record in a place. Rec must be zero.
func (sh *shard) read(p place, rec *store.Record) {
	ent := sh.slabs.entry(p)
	ent.read(sh.slabs.text(p), rec)
	rec.Method = sh.names.text(ent.method)
}

// write writes rec to a place.
func (sh *shard) write(p place, rec *store.Record) {
	ent := sh.slabs.entry(p)
	ent.set(sh.slabs.text(p), rec)
	ent.method = sh.names.swap(ent.method, rec.Method)
	sh.expiries.set(&sh.slabs, p, ent.expires)
}

// remove removes the record in a place and returns its reservation.
func (sh *shard) remove(s *Store, p place) {
	ent := sh.slabs.entry(p)
	s.release(ent.scope, sh.slabs.text(p).size())
	sh.expiries.set(&sh.slabs, p, 0)
	sh.index.remove(&sh.slabs, p)
	sh.names.give(ent.method)
	sh.slabs.give(p)
}

// expire removes at most limit expired records and returns their number.
func (sh *shard) expire(s *Store, now time.Time, limit int) (removed int) {
	at := now.UnixNano()

	for ; removed < limit; removed++ {
		due, found := sh.expiries.first()
		if !found || due.at > at {
			break
		}

		sh.remove(s, due.place)
	}

	return removed
}

// sweep is expire for callers without the lock.
func (sh *shard) sweep(s *Store, limit int) (removed int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	return sh.expire(s, s.now(), limit)
}

// watch is the channel that all watchers of a key share.
type watch struct {
	changed chan struct{}
	holders int
}

func (sh *shard) watch(key store.Key) (<-chan struct{}, func()) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	w := sh.watches[key]
	if w == nil {
		w = &watch{changed: make(chan struct{})}

		if sh.watches == nil {
			sh.watches = make(map[store.Key]*watch)
		}

		sh.watches[key] = w
	}

	w.holders++

	return w.changed, func() { sh.unwatch(key, w) }
}

func (sh *shard) unwatch(key store.Key, w *watch) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	w.holders--
	if w.holders == 0 && sh.watches[key] == w {
		delete(sh.watches, key)
	}
}

func (sh *shard) wake(key store.Key) {
	if w := sh.watches[key]; w != nil {
		close(w.changed)
		delete(sh.watches, key)
	}
}
