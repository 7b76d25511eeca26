package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// joining is a transaction that a handler opens on the database of the store.
type joining struct{ tx *sql.Tx }

func (j joining) Join(ctx context.Context, response any) error {
	return sqlstore.Join(ctx, j.tx, response)
}
func (j joining) Commit(context.Context) error { return j.tx.Commit() }
func (j joining) Rollback()                    { _ = j.tx.Rollback() }

// join opens the transaction of a handler. In SQLite, it retries until it gets its turn to write.
func (k kind) join(ctx context.Context, db *sql.DB) (storetest.Joining, error) {
	for {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil || k.dialect != sqlstore.SQLite {
			return joining{tx}, err
		}

		if _, err := tx.ExecContext(ctx, "DELETE FROM "+sqlstore.DefaultTable+" WHERE false"); err == nil {
			return joining{tx}, nil
		}

		_ = tx.Rollback()
	}
}

// take writes in the handler's single transaction.
func take(ctx context.Context) error {
	var one int

	return sqlstore.Tx(ctx).QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

func TestContract(t *testing.T) {
	contract(t, single(), func(s *sqlstore.Store) store.Store { return s })
}

// Sealing does not depend on the database. The pipelined kind has every ability of a store.
func TestContractSealedWithTransactions(t *testing.T) {
	key, err := store.NewSealKey("a", make([]byte, store.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}

	ring, err := store.NewStaticKeys(key)
	if err != nil {
		t.Fatal(err)
	}

	contract(t, []kind{pipelined()}, func(s *sqlstore.Store) store.Store { return store.Sealed(s, ring) })
}

// contract proves that the stores that wrap returns keep the contract on kinds of databases.
func contract(t *testing.T, kinds []kind, wrap func(s *sqlstore.Store) store.Store) {
	t.Helper()

	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		var databases sync.Map // by store

		open := func(t *testing.T) store.Store {
			t.Helper()

			s, db := k.open(t)
			wrapped := wrap(s)
			databases.Store(wrapped, db)

			return wrapped
		}
		shared := open(t)

		storetest.Run(t, func(t *testing.T) store.Store {
			t.Helper()

			// A transaction of SQLite holds up everybody else's.
			if k.dialect == sqlstore.SQLite && strings.Contains(strings.ToLower(t.Name()), "transaction") {
				return open(t)
			}

			return shared
		}, storetest.WithUnit(unit), storetest.WithTake(take), storetest.WithJoin(func(
			ctx context.Context, s store.Store,
		) (storetest.Joining, error) {
			db, _ := databases.Load(s)

			own, ok := db.(*sql.DB)
			if !ok {
				return nil, errors.New("another store")
			}

			return k.join(ctx, own)
		}))
	})
}
