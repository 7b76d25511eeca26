package onlyonce_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// mapStore is a whole store: a map under a lock. The operation itself decides how it changes a record.
type mapStore struct {
	mu      sync.Mutex
	records map[store.Key]store.Record
}

func (s *mapStore) apply(key store.Key, op func(store.Record, time.Time) store.Transition) (store.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	decided := op(s.records[key], now)

	if decided.Changed {
		s.records[key] = decided.Record
	}

	return store.Result{Applied: decided.Applied, Record: decided.Record, Now: now}, nil
}

func (s *mapStore) Claim(_ context.Context, op store.Claim) (store.Result, error) {
	return s.apply(op.Key, op.Apply)
}

func (s *mapStore) Renew(_ context.Context, op store.Renewal) (store.Result, error) {
	return s.apply(op.Key, op.Apply)
}

func (s *mapStore) Complete(_ context.Context, op store.Completion) (store.Result, error) {
	return s.apply(op.Key, op.Apply)
}

func (s *mapStore) Release(_ context.Context, op store.Release) (store.Result, error) {
	return s.apply(op.Claim.Key, op.Apply)
}

func (s *mapStore) Hold(_ context.Context, op store.Hold) (store.Result, error) {
	return s.apply(op.Key, op.Apply)
}

// Capabilities returns nothing: this store has only the five operations.
func (s *mapStore) Capabilities() store.Capabilities { return store.Capabilities{} }

// A custom store: five operations, each of them one atomic step. Package storetest checks that a store keeps the contract.
func Example_customStore() {
	engine, err := onlyonce.New(&mapStore{records: make(map[store.Key]store.Record)})
	if err != nil {
		fmt.Println(err)

		return
	}

	for range 2 {
		result, err := engine.Do(context.Background(), onlyonce.Call{Method: "greet", Key: "k-1"},
			func(context.Context) ([]byte, error) { return []byte("hello"), nil })
		fmt.Println(result.Status, string(result.Body), err)
	}
	// Output:
	// executed hello <nil>
	// replayed hello <nil>
}
