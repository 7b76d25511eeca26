package memstore

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// expirePerOperation is how many expired records an operation removes at most. More than one, so that removal keeps up
// with insertion.
const expirePerOperation = 2

// compactSlack is how many stale expiries a shard keeps without a thought.
const compactSlack = 64

// shard is a part of the store under its own lock.
type shard struct {
	mu       sync.Mutex
	entries  map[store.Key]*entry
	expiries expiryHeap
	watches  map[store.Key]*watch
}

// do runs one operation atomically, and returns how many expired records it has removed. The record is read into the result and
// changed there.
func (sh *shard) do(s *Store, key *store.Key, op any, res *store.Result) (expired int, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	res.Now = s.now()
	expired = sh.expire(s, res.Now, expirePerOperation)

	ent := sh.entries[*key]
	if ent != nil {
		ent.read(&res.Record)
	}

	var changed bool

	res.Applied, changed = apply(op, &res.Record, res.Now)
	if !changed {
		return expired, nil
	}

	if res.Applied && s.unknownRetention > 0 {
		res.Record.KeepUnsettled(s.unknownRetention, res.Now)
	}

	if err := sh.write(s, key, scopeOf(op), ent, &res.Record); err != nil {
		*res = store.Result{}

		return expired, err
	}

	return expired, nil
}

// write keeps the record that an operation has made. A new one counts for the scope.
func (sh *shard) write(s *Store, key *store.Key, scope uint64, ent *entry, rec *store.Record) error {
	switch {
	case rec.State == store.Absent:
		sh.remove(s, key, ent)
		sh.wake(*key)

		return nil
	case ent == nil:
		if err := s.reserve(scope, sizeOf(rec)); err != nil {
			return err
		}

		ent = &entry{scope: scope}
		sh.entries[*key] = ent
	default:
		s.resize(ent.scope, sizeOf(rec)-ent.size())
	}

	had := ent.expires
	ent.set(rec)

	if ent.expires != 0 && ent.expires != had {
		sh.expiries.push(expiry{at: ent.expires, key: *key})
		sh.compact()
	}

	if rec.State != store.Running {
		sh.wake(*key)
	}

	return nil
}

// remove removes a record. Its expiry, if it has one, stays behind and is stale.
func (sh *shard) remove(s *Store, key *store.Key, ent *entry) {
	s.release(ent)
	delete(sh.entries, *key)
}

// expire takes up to limit expiries that are due, and returns how many records it has removed.
func (sh *shard) expire(s *Store, now time.Time, limit int) (removed int) {
	at := now.UnixNano()

	for ; limit > 0 && len(sh.expiries) > 0 && sh.expiries[0].at <= at; limit-- {
		due := sh.expiries.pop()

		// The record may have been claimed again since, and settled with another expiry.
		ent := sh.entries[due.key]
		if ent == nil || ent.expires != due.at {
			continue
		}

		sh.remove(s, &due.key, ent)

		removed++
	}

	return removed
}

// compact drops stale expiries once they outnumber the records, as when one key is released and claimed over and over.
func (sh *shard) compact() {
	if len(sh.expiries) <= 2*len(sh.entries)+compactSlack {
		return
	}

	kept := sh.expiries[:0]

	for _, e := range sh.expiries {
		if ent := sh.entries[e.key]; ent != nil && ent.expires == e.at {
			kept = append(kept, e)
		}
	}

	slices.SortFunc(kept, func(a, b expiry) int {
		return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.key[:], b.key[:]))
	})
	sh.expiries = slices.CompactFunc(kept, func(a, b expiry) bool { return a == b })
}

func (sh *shard) expireAll(s *Store) (removed int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()

	return sh.expire(s, s.now(), len(sh.expiries))
}

// watch is one channel for all who watch a key.
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
