package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The inner call would wait for the outer run's transaction: on SQLite always, elsewhere if the pool is small.
func TestF69KeyedCallInsideASingleTransactionIsRefusedAndTheRunCommits(t *testing.T) {
	each(t, single(), func(t *testing.T, k kind) {
		t.Helper()

		for _, connections := range []int{1, 2} {
			db := k.base(t)
			db.SetMaxOpenConns(connections)

			s, records := k.orders(t, db), k.on(t, db)
			outer := engine(t, records, onlyonce.SingleTransaction)
			leased := engine(t, records, onlyonce.SingleTransaction,
				onlyonce.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}))

			call(t.Context(), outer, "outer", func(ctx context.Context) ([]byte, error) {
				for name, inner := range map[string]*onlyonce.Engine{"single": outer, "leased": leased} {
					got := call(ctx, inner, "inner", s.sell("inner"))
					if !errors.Is(got.err, onlyonce.ErrInTransaction) {
						t.Errorf("%d connections, %s: %s %v, want ErrInTransaction", connections, name, got.Status, got.err)
					}
				}

				return s.sell("outer")(ctx)
			}).mustBe(t, onlyonce.StatusExecuted, string(body(1)))
			s.mustHave(t, 1, 1)
		}
	})
}

// The function of InTx holds a transaction as well.
func TestF69KeyedCallInsideAJoinedTransactionIsRefusedAndTheRunCommits(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, e := k.opened(t, onlyonce.JoinedTransaction)

		call(t.Context(), e, "outer", func(ctx context.Context) ([]byte, error) {
			return sqlstore.InTx(ctx, s.db, nil, func(inside context.Context, tx *sql.Tx) ([]byte, error) {
				if got := call(inside, e, "inner", s.join("inner")); !errors.Is(got.err, onlyonce.ErrInTransaction) {
					t.Errorf("inside: %s %v, want ErrInTransaction", got.Status, got.err)
				}

				_, err := tx.ExecContext(inside, s.insert(), "outer", 1)

				return []byte("#1"), err
			})
		}).mustBe(t, onlyonce.StatusExecuted, "#1")
	})
}
