package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/onlyonce-go/onlyonce/store"
)

// ListUnknown implements [store.Lister]. It reads pages of a hundred records in the order of their keys, by an index of the unsettled
// records.
func (s *Store) ListUnknown(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.sql.list)
}

// ListRunning implements [store.Lister]. It reads like ListUnknown.
func (s *Store) ListRunning(ctx context.Context) iter.Seq2[store.Listed, error] {
	return s.list(ctx, s.sql.listRunning)
}

func (s *Store) list(ctx context.Context, query string) iter.Seq2[store.Listed, error] {
	return func(yield func(store.Listed, error) bool) {
		for last := []byte{}; last != nil; {
			page, err := s.page(ctx, query, last)
			if err != nil {
				yield(store.Listed{}, err)

				return
			}

			last = nil // until a key was read

			for i := range page {
				last = page[i].id

				if !yield(page[i].listed()) {
					return
				}
			}
		}
	}
}

// page reads the records after a key.
func (s *Store) page(ctx context.Context, query string, last []byte) (page []row, err error) {
	defer s.observed.Answered(ctx, store.OperationList, s.observed.Clock(), &err)

	err = s.do(ctx, list, func(ctx context.Context, at access) error {
		rows, err := at.QueryContext(ctx, query, last)
		if err != nil {
			return err // wrapped by do
		}
		defer rows.Close()

		for page = nil; rows.Next(); {
			var r row

			err := rows.Scan(r.answer(s.dialect)...)
			if err != nil && !errors.Is(err, store.ErrUnreadable) {
				return err // wrapped by do
			}

			if err != nil {
				r.format = 0 // which makes the row unreadable
			}

			page = append(page, r)
		}

		return rows.Err()
	})

	return page, err
}

// listed returns the record of a row, or why it cannot be read.
func (r *row) listed() (store.Listed, error) {
	var key store.Key

	if len(r.id) != len(key) {
		return store.Listed{}, fmt.Errorf("sqlstore: list: a record has the damaged key %x: %w", r.id, store.ErrUnreadable)
	}

	copy(key[:], r.id)

	rec, err := r.record(&key)
	if err != nil {
		err = fmt.Errorf("sqlstore: list: %w", err)
	}

	return store.Listed{Key: key, Result: store.Result{Record: rec, Now: r.time()}}, err
}
