package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// listing is a store whose list of unknown records ends with an error.
type listing struct {
	*memstore.Store

	err error
}

func (s *listing) Capabilities() store.Capabilities {
	can := s.Store.Capabilities()
	can.Direct, can.Lister = nil, s

	return can
}

func (s *listing) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for one, err := range s.Store.ListUnknown(ctx) {
			if !yield(one, err) {
				return
			}
		}

		if s.err != nil {
			yield(store.Listed{Key: store.Key{9}}, s.err)
		}
	}
}

func TestF36RecordThatCannotBeReadDoesNotKeepTheMemoryOfTheOthers(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		err  error
		left int
	}{
		"a complete list":              {nil, 0},
		"a record that cannot be read": {fmt.Errorf("poisoned: %w", store.ErrUnreadable), 0},
		"a record of a newer build":    {fmt.Errorf("newer: %w", store.ErrNewer), 0},
		"a list that is not complete":  {errors.New("down"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				records := &listing{Store: memstore.New(), err: tt.err}

				engine, err := onlyonce.New(records)
				if err != nil {
					t.Fatal(err)
				}

				opts := Options{}
				r := &reconciler{
					engine: engine, opts: opts.withDefaults(), methods: make(map[string]*backoff),
					memory: map[key]*remembered{{1}: {told: true}, {2}: {told: true}},
				}

				report := r.pass(t.Context())

				if len(r.memory) != tt.left {
					t.Errorf("%d records that are gone are remembered, want %d", len(r.memory), tt.left)
				}

				if (report.Err != nil) != (tt.err != nil) {
					t.Errorf("the report's error is %v", report.Err)
				}
			})
		})
	}
}
