package console

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// exhibit is a read-only store with records of chosen ages.
type exhibit struct {
	store.Store

	now     time.Time
	records []store.Listed
}

func newExhibit() *exhibit {
	return &exhibit{Store: memstore.New(), now: time.Now()}
}

func (e *exhibit) Capabilities() store.Capabilities {
	can := e.Store.Capabilities()
	can.Inspector, can.Lister, can.Direct, can.Home = e, e, nil, nil

	return can
}

func (e *exhibit) Lookup(_ context.Context, key store.Key) (store.Result, error) {
	for i := range e.records {
		if e.records[i].Key == key {
			return e.records[i].Result, nil
		}
	}

	return store.Result{Now: e.now}, nil
}

func (e *exhibit) Resolve(context.Context, store.Resolution) (store.Result, error) {
	return store.Result{}, onlyonce.ErrNotSupported
}

func (e *exhibit) list(unknown bool) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for i := range e.records {
			if e.records[i].Result.Unknown() == unknown && !yield(e.records[i], nil) {
				return
			}
		}
	}
}

func (e *exhibit) ListUnknown(context.Context) iter.Seq2[store.Listed, error] { return e.list(true) }
func (e *exhibit) ListRunning(context.Context) iter.Seq2[store.Listed, error] { return e.list(false) }

func (e *exhibit) key() store.Key { return sha256.Sum256(fmt.Append(nil, len(e.records))) }

// held adds a record that has had an unknown outcome for some time.
func (e *exhibit) held(method, key, code string, ago time.Duration) {
	id := e.key()
	rec := store.Record{
		State: store.Unknown, Fence: uint64(len(e.records)%3 + 1), Guarantee: store.AtMostOnce, Attempts: 1, Method: method, ReadableKey: key,
		FirstStart: e.now.Add(-ago - 2*time.Second), LastStart: e.now.Add(-ago - 2*time.Second), EndedAt: e.now.Add(-ago),
		OwnerAliveUntil: e.now.Add(-ago + 40*time.Second), Retention: 24 * time.Hour, Fingerprint: store.Fingerprint{Scheme: 1},
		Outcome: (&outcome.Stored{Kind: outcome.KindNote, Code: code}).Encode(&id),
	}
	e.records = append(e.records, store.Listed{Key: id, Result: store.Result{Record: rec, Now: e.now}})
}

// run adds a running record with a start time and a lease.
func (e *exhibit) run(method string, ago, lease time.Duration) {
	rec := store.Record{
		State: store.Running, Fence: 1, Guarantee: store.AtMostOnce, Attempts: 1, Method: method,
		ReadableKey: "order-" + strconv.Itoa(len(e.records)),
		FirstStart:  e.now.Add(-ago), LastStart: e.now.Add(-ago), LeaseUntil: e.now.Add(lease),
		OwnerAliveUntil: e.now.Add(lease + 10*time.Second), Retention: 24 * time.Hour,
	}
	e.records = append(e.records, store.Listed{Key: e.key(), Result: store.Result{Record: rec, Now: e.now}})
}

// busy returns an Activity with many calls.
func busy() *Activity {
	a := &Activity{methods: map[string]*ring{}}
	now := barOf(time.Now())

	for i := range int64(barCount) {
		wave := int((i*i*7+i*13)%11) + 24 + int(i/6)
		t := tally{Executed: wave, Replayed: wave / 7, Other: int(i % 9 / 7)}

		if i > 55 && i < 64 { // the bank is down
			t.Unknown, t.Replayed, t.Executed = wave/3, wave/4, wave/2
		}

		bar := now - barCount + 1 + i
		a.all.count(bar, t)

		for method, share := range map[string]int{"/bank.v1.Bank/Pay": 2, "/bank.v1.Bank/Refund": 6, "/bank.v1.Accounts/Open": 5} {
			if a.methods[method] == nil {
				a.methods[method] = new(ring)
			}

			a.methods[method].count(bar, tally{Executed: t.Executed / share, Replayed: t.Replayed / share, Unknown: t.Unknown / share})
		}
	}

	return a
}

// exhibition returns a console with two stores, for screenshots.
func exhibition(t *testing.T) *Handler {
	t.Helper()

	payments := newExhibit()
	payments.held("/bank.v1.Bank/Pay", "order-4711", "UNAVAILABLE", 7*time.Minute+4*time.Second)
	payments.held("/bank.v1.Bank/Pay", "order-4718", "UNAVAILABLE", 6*time.Minute+31*time.Second)
	payments.held("/bank.v1.Bank/Pay", "order-4722", "INTERNAL", 5*time.Minute+12*time.Second)
	payments.run("/bank.v1.Bank/Refund", 4*time.Minute, -3*time.Minute)
	payments.held("/bank.v1.Bank/Refund", "refund-12", "DEADLINE_EXCEEDED", 90*time.Second)
	payments.run("/bank.v1.Bank/Pay", 3*time.Second, 9*time.Second)
	payments.run("/bank.v1.Accounts/Open", time.Second, 9*time.Second)

	orders := newExhibit()
	orders.run("/shop.v1.Orders/Place", 2*time.Second, 9*time.Second)

	var stores []Store

	for name, s := range map[string]*exhibit{"payments": payments, "orders": orders} {
		engine, err := onlyonce.New(s, onlyonce.WithObserver(nil))
		if err != nil {
			t.Fatal(err)
		}

		if name == "payments" {
			stores = append([]Store{{Name: "redis://cache-1:6379 payments", Engine: engine, Activity: busy()}}, stores...)
		} else {
			stores = append(stores, Store{Name: "postgres://db-1/orders", Engine: engine})
		}
	}

	opts := operators()
	opts.Name = "Ada Byron"

	h, err := New(opts, stores...)
	if err != nil {
		t.Fatal(err)
	}

	for i := range 60 { // as if the store had been sampled regularly
		h.sources[1].samples.add(sample{At: time.Now().Add(time.Duration(i-60) * barLength), Running: (i*i/3)%4 + i%2 + 2, Unknown: i / 50})
	}

	return h
}
