package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// deferring lists the databases that can defer a constraint until COMMIT.
func deferring() []kind {
	file := kinds[2]
	file.params = append([]string{"_pragma=foreign_keys(1)"}, file.params...)

	return []kind{kinds[0], pipelined(), file}
}

// parcels makes a table whose rows need a box. The database checks that at COMMIT.
func parcels(tb testing.TB, db *sql.DB) {
	tb.Helper()

	for _, query := range []string{
		"CREATE TABLE boxes (id int NOT NULL PRIMARY KEY)",
		"CREATE TABLE parcels (box int NOT NULL REFERENCES boxes (id) DEFERRABLE INITIALLY DEFERRED)",
	} {
		if _, err := db.ExecContext(tb.Context(), query); err != nil {
			tb.Fatal(err)
		}
	}
}

const orphan = "INSERT INTO parcels (box) VALUES (7)"

var errNoBox = errors.New("there is no such box")

func TestF71CommitThatTheDatabaseRefusesIsTheHandlersOwnError(t *testing.T) {
	each(t, deferring(), func(t *testing.T, k kind) {
		t.Helper()

		db := k.base(t)
		s := k.orders(t, db)
		parcels(t, db)

		var driverError error

		for name, st := range map[string]*sqlstore.Store{
			"plain": k.on(t, db),
			"mapped": k.on(t, db, sqlstore.WithCommitError(func(err error) error {
				driverError = err

				return errNoBox
			})),
			"not mapped": k.on(t, db, sqlstore.WithCommitError(func(error) error { return nil })),
		} {
			r := s.begin(t, st)
			r.sells(t)
			r.exec(t, orphan)

			_, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), false)

			var refused *store.RefusedError
			if !errors.As(err, &refused) || !errors.Is(err, store.ErrRolledBack) || errors.Is(err, store.ErrConflict) {
				t.Fatalf("%s: got %v", name, err)
			}

			if mapped := errors.Is(refused.Err, errNoBox); mapped != (name == "mapped") {
				t.Errorf("%s: the handler's error is %v", name, refused.Err)
			}

			if got := lookup(t, st, r.claim.Key).Record; got.State != store.Absent {
				t.Errorf("%s: the record is %v", name, got.State)
			}

			// If the writes are rolled back, no constraint is violated.
			r = s.begin(t, st)
			r.exec(t, orphan)

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "refused"), true)
			must(t, res, err)
		}

		if driverError == nil || !strings.Contains(strings.ToUpper(driverError.Error()), "FOREIGN KEY") {
			t.Errorf("the driver's error is %v", driverError)
		}

		s.mustHave(t, 3, 0)
	})
}

// The error of a trigger has a code of the program's own.
func TestF71CommitThatATriggerRefusesIsTheHandlersOwnError(t *testing.T) {
	each(t, []kind{kinds[0], pipelined()}, func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)

		for _, query := range []string{
			"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'sold out' USING ERRCODE = 'SHOP1'; END $$",
			"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
		} {
			if _, err := db.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}

		r := s.begin(t, st)
		r.sells(t)

		_, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), false)

		var refused *store.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "sold out") {
			t.Errorf("got %v", err)
		}

		s.mustHave(t, 1, 0)
	})
}

// PostgreSQL executes nothing after an error. So the handler's later error is not recorded, and a retry would end the same way.
func TestF71HandlerThatGoesOnAfterAnErrorGetsThatError(t *testing.T) {
	each(t, []kind{kinds[0], pipelined()}, func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t)
		s := k.orders(t, db)
		stock(t, db)

		r := s.begin(t, st)
		r.sells(t)

		if _, err := sqlstore.Tx(r.ctx).ExecContext(r.ctx, "INSERT INTO stock VALUES (1, 0)"); err == nil {
			t.Fatal("there are two rows with one key")
		}

		_, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), false)

		var refused *store.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "23505") {
			t.Errorf("got %v", err)
		}

		s.mustHave(t, 1, 0)
	})
}

func TestF71CommitOfAJoinedTransactionThatTheDatabaseRefusesIsTheHandlersOwnError(t *testing.T) {
	each(t, deferring()[1:], func(t *testing.T, k kind) {
		t.Helper()

		st, db := k.open(t, sqlstore.WithCommitError(func(error) error { return onlyonce.Final(errNoBox) }))
		s := k.orders(t, db)
		parcels(t, db)

		claim := newClaim()
		start(t, st, claim)

		_, err := sqlstore.InTx(st.Join(t.Context(), &joinedRun{claim: claim}), db, nil,
			func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
				_, err := tx.ExecContext(ctx, orphan)

				return []byte("sold"), err
			})
		if !errors.Is(err, errNoBox) {
			t.Errorf("got %v", err)
		}

		if got := lookup(t, st, claim.Key).Record; got.State != store.Running {
			t.Errorf("the record is %v", got.State)
		}

		s.mustHave(t, 0, 0)
	})
}

// impatient lists databases that end statements themselves, with the driver's parameters for that.
func impatient() map[string]kind {
	all := make(map[string]kind)

	for name, param := range map[string]string{
		"statement_timeout": "statement_timeout=100ms", "lock_timeout": "lock_timeout=100ms",
		"max_statement_time": "max_statement_time=0.1", "innodb_lock_wait_timeout": "innodb_lock_wait_timeout=1",
	} {
		k := kinds[0]
		if strings.HasPrefix(name, "max") || strings.HasPrefix(name, "innodb") {
			k = kinds[1]
		}

		k.name, k.params = name, []string{param}
		all[name] = k
	}

	return all
}

func TestF71RecordOfAnotherTransactionIsBusyWhereTheDatabaseEndsTheWait(t *testing.T) {
	t.Parallel()

	for name, k := range impatient() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			base := k.fresh(t)
			holder := kinds[0]
			holder.dialect = k.dialect

			db := pool(base.DB(t))
			s := holder.orders(t, db)
			r := s.begin(t, holder.on(t, db))

			// The table exists, so that no other step takes long.
			several := sqlstore.WithTimeout(patience / 4) // of these waits

			named := sqlstore.WithTable(base.Table(sqlstore.DefaultTable))

			waiting, err := sqlstore.New(pool(base.DB(t, k.params...)), k.dialect, named, sqlstore.WithoutCheck(), several)
			if err != nil {
				t.Fatal(err)
			}

			if k.dialect == sqlstore.PostgreSQL || name == "max_statement_time" {
				// MariaDB's shortest lock wait is that of Begin.
				if _, _, err := waiting.Begin(t.Context(), claimOn(r.claim.Key), unit); !errors.Is(err, store.ErrBusy) {
					t.Errorf("Begin returned %v", err)
				}
			}

			if _, err := waiting.Claim(t.Context(), claimOn(r.claim.Key)); !errors.Is(err, store.ErrBusy) {
				t.Errorf("Claim returned %v", err)
			}

			res, err := r.tx.Complete(t.Context(), completion(r.claim, "sold"), false)
			must(t, res, err)
		})
	}
}
