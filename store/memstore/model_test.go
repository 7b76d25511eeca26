package memstore

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// model is the specification of a store: the records in a plain map, and the decisions of package store. It keeps no
// expired record.
type model struct {
	records          map[store.Key]*kept
	limit, share     int
	unknownRetention time.Duration
}

type kept struct {
	record store.Record
	scope  uint64
}

// decision is the Apply of an operation.
type decision = func(rec store.Record, now time.Time) store.Transition

// at is the record of a key, absent if there is none.
func (m *model) at(key store.Key) store.Record {
	if one := m.records[key]; one != nil {
		return one.record
	}

	return store.Record{}
}

// do returns the record after an operation, whether the operation was applied, and whether it was refused because the
// store is full.
func (m *model) do(key store.Key, scope uint64, apply decision, now time.Time) (after store.Transition, full bool) {
	was, found := m.records[key]
	after = apply(m.at(key), now)

	if !after.Changed {
		return after, false
	}

	if after.Applied && m.unknownRetention > 0 {
		after.Record.KeepUnsettled(m.unknownRetention, now)
	}

	switch {
	case after.Record.State == store.Absent:
		delete(m.records, key)

		return after, false
	case found:
		scope = was.scope
	case len(m.records) >= m.limit || scope != 0 && m.held(scope) >= m.share:
		return store.Transition{}, true
	}

	m.records[key] = &kept{after.Record, scope}

	return after, false
}

func (m *model) held(scope uint64) (n int) {
	for _, one := range m.records {
		if one.scope == scope {
			n++
		}
	}

	return n
}

func (m *model) expire(now time.Time) {
	for key, one := range m.records {
		if one.record.Expired(now) {
			delete(m.records, key)
		}
	}
}

func (m *model) unknown(now time.Time) (n int) {
	for _, one := range m.records {
		if res := (store.Result{Record: one.record, Now: now}); res.Unknown() {
			n++
		}
	}

	return n
}

// form is a record with its times as a store keeps them.
func form(rec store.Record) store.Record {
	for _, at := range []*time.Time{
		&rec.LeaseUntil, &rec.OwnerAliveUntil, &rec.FirstStart, &rec.LastStart, &rec.EndedAt, &rec.ExpiresAt,
	} {
		*at = timeOf(nanos(*at))
	}

	return rec
}

// trial runs operations on a store and on its model.
type trial struct {
	*testing.T

	store *Store
	model *model
}

func (tr *trial) run(key store.Key, scope uint64, apply decision, do func() (store.Result, error)) {
	tr.Helper()

	now := tr.store.now()
	tr.model.expire(now)

	want, full := tr.model.do(key, scope, apply, now)
	got, err := do()

	if full != errors.Is(err, store.ErrFull) || !full && err != nil {
		tr.Fatalf("the error is %v, full must be %t: %d records", err, full, len(tr.model.records))
	}

	if full {
		return
	}

	if got.Applied != want.Applied || !reflect.DeepEqual(form(got.Record), form(want.Record)) || !got.Now.Equal(now) {
		tr.Fatalf("the result is\n%+v, must be applied=%t and\n%+v", got, want.Applied, want.Record)
	}
}

// step runs one operation, which four bytes choose, on a key.
func (tr *trial) step(what, n, who, span byte) {
	ctx := tr.Context()
	key := store.Key{0, n} // all of one shard
	token := store.Token{1 + who%3}
	was := tr.model.at(key)
	scope := uint64(n % 3)
	duration := time.Duration(1+span%8) * time.Hour

	if who&64 != 0 { // by the very owner
		token = was.Token
	}

	claim := store.Claim{
		Key: key, Token: token, Guarantee: store.Guarantee(1 + span%3), Lease: time.Hour, MaxRun: time.Hour,
		Retention: duration, Scope: scope, Method: "/service/Method" + string('A'+rune(span%4)), ReadableKey: string('a' + rune(span%8)),
	}
	if who&128 == 0 {
		claim.Fence = was.Fence
	}

	switch what % 10 {
	case 0, 1:
		tr.run(key, scope, claim.Apply, func() (store.Result, error) { return tr.store.Claim(ctx, claim) })
	case 2:
		op := store.Renewal{Key: key, Token: token, Lease: duration}
		tr.run(key, 0, op.Apply, func() (store.Result, error) { return tr.store.Renew(ctx, op) })
	case 3, 4:
		op := store.Completion{Key: key, Token: token, Outcome: make([]byte, span%4), Retention: duration / 2}
		tr.run(key, 0, op.Apply, func() (store.Result, error) { return tr.store.Complete(ctx, op) })
	case 5:
		op := store.Release{Claim: claim, Ambiguous: span&16 != 0}
		tr.run(key, scope, op.Apply, func() (store.Result, error) { return tr.store.Release(ctx, op) })
	case 6:
		op := store.Hold{Key: key, Token: token, Outcome: []byte{span}}
		tr.run(key, 0, op.Apply, func() (store.Result, error) { return tr.store.Hold(ctx, op) })
	case 7:
		op := store.Resolution{Key: key, Token: was.Token, Fence: was.Fence, State: store.Released + store.State(span&1)}
		tr.run(key, 0, op.Apply, func() (store.Result, error) { return tr.store.Resolve(ctx, op) })
	case 8:
		op := store.Forgetting{Key: key, Token: token, Fence: was.Fence, Force: span&1 != 0}
		tr.run(key, 0, op.Apply, func() (store.Result, error) { return tr.store.Forget(ctx, op) })
	case 9:
		time.Sleep(duration / 4)
	}
}

// fill claims and completes many keys, which expire together.
func (tr *trial) fill(from, to, span byte) {
	for n := from; n < to; n++ {
		tr.step(0, n, 0, span)
		tr.step(3, n, 64, span)
	}
}

func (tr *trial) check() {
	tr.Helper()

	for i := range tr.store.shards {
		tr.store.shards[i].check(tr.T)
	}

	now := tr.store.now()
	tr.model.expire(now)

	listed := 0

	for one, err := range tr.store.ListUnknown(tr.Context()) {
		if want := tr.model.at(one.Key); err != nil || !reflect.DeepEqual(form(one.Result.Record), form(want)) {
			tr.Fatalf("listed as\n%+v, %v, must be\n%+v", one, err, want)
		}

		listed++
	}

	if want := tr.model.unknown(now); listed != want {
		tr.Fatalf("%d records are listed, must be %d", listed, want)
	}

	for i := range tr.store.shards {
		tr.store.shards[i].sweep(tr.store, math.MaxInt)
	}

	size := int64(0)
	for _, one := range tr.model.records {
		size += sizeOf(&one.record)
	}

	if tr.store.Len() != len(tr.model.records) || tr.store.Bytes() != size {
		tr.Fatalf("%d records with %d bytes are counted, must be %d with %d", tr.store.Len(), tr.store.Bytes(), len(tr.model.records), size)
	}
}

// FuzzStore runs operations on a store and on the model. All results must be equal, and the invariants of the store's
// types must hold.
func FuzzStore(f *testing.F) {
	f.Add(false, []byte{})
	f.Add(true, []byte{0, 1, 0, 1, 3, 1, 64, 1, 0, 1, 1, 1, 9, 0, 0, 7, 9, 0, 0, 7, 0, 1, 1, 1})
	f.Add(false, []byte{0, 1, 0, 1, 8, 1, 64, 1, 0, 2, 1, 1, 3, 1, 0, 0, 3, 2, 0, 0, 2, 2, 64, 0, 3, 2, 64, 2})
	f.Add(true, []byte{0, 1, 0, 0, 6, 1, 64, 1, 7, 1, 0, 1, 5, 2, 0, 1, 0, 2, 1, 2, 6, 2, 64, 2, 9, 0, 0, 7, 7, 2, 0, 0})
	f.Add(false, []byte{255, 0, 200, 3, 9, 0, 0, 7, 255, 20, 120, 5, 9, 0, 0, 2, 0, 3, 0, 0, 255, 0, 250, 1, 9, 0, 0, 7, 9, 0, 0, 7})
	f.Add(true, []byte{255, 0, 100, 3, 255, 100, 200, 5, 255, 200, 250, 0, 9, 0, 0, 7, 5, 3, 0, 0, 8, 4, 64, 1, 255, 0, 250, 7})

	f.Fuzz(func(t *testing.T, bounded bool, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{records: make(map[store.Key]*kept), limit: 1_000_000, share: 1_000_000}
			opts := []Option{WithScopeShare(1)}

			if bounded {
				m.limit, m.share, m.unknownRetention = 100, 50, 3*time.Hour
				opts = []Option{WithMaxRecords(m.limit), WithUnknownRetention(m.unknownRetention)}
			}

			tr := &trial{t, New(opts...), m}

			for i := 0; len(input) > 3 && i < 200; i++ {
				if input[0] < 250 {
					tr.step(input[0], input[1], input[2], input[3])
				} else {
					tr.fill(input[1], input[2], input[3])
				}

				if i%16 == 0 {
					tr.store.shards[0].check(t)
				}

				input = input[4:]
			}

			tr.check()
		})
	})
}

func TestRandomOperationsHaveTheResultsOfTheModel(t *testing.T) {
	t.Parallel()

	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 15))
			m := &model{records: make(map[store.Key]*kept), limit: 150, share: 75}
			opts := []Option{WithMaxRecords(m.limit)}

			if seed%2 == 0 {
				m.unknownRetention = 3 * time.Hour
				opts = append(opts, WithUnknownRetention(m.unknownRetention))
			}

			tr := &trial{t, New(opts...), m}
			keys := 1 << (1 + random.IntN(8)) // few keys have long lives, many keys move places and buckets

			for i := range 600 {
				n := byte(random.IntN(keys))

				if random.IntN(150) == 0 {
					tr.fill(n, byte(random.IntN(keys)), byte(i))
				}

				tr.step(byte(random.IntN(9+random.IntN(2))), n, byte(random.IntN(3)|random.IntN(3)<<6), byte(random.IntN(256)))

				if i%50 == 0 {
					tr.store.shards[0].check(t)
				}
			}

			tr.check()
		})
	}
}
