package sqlstoretest_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// listener listens with pgx, on a connection of its own.
type listener string

func (dsn listener) Listen(ctx context.Context, channel string, notify func(payload string)) error {
	conn, err := pgx.Connect(ctx, string(dsn))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}

	for notify(""); ; {
		heard, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}

		notify(heard.Payload)
	}
}

// notified is a store that listens, and runs until the end of the test.
func notified(t *testing.T, db *sqltest.Database, opts ...sqlstore.Option) *sqlstore.Notified {
	t.Helper()

	k := kinds[0]

	s, err := k.on(t, pool(db.DB(t)), opts...).Notify(listener(db.DSN()))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)

	// Somebody who watches is woken when it listens.
	changed, stop := s.Watch(newKey())
	defer stop()

	go func() { ended <- s.Run(ctx) }()

	t.Cleanup(func() {
		cancel()

		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	happens(t, "the listener listens", changed)

	return s
}

// F98: processes that see one table hear each other, whether they name its schema or not.
func TestF98ProcessesThatNameTheSchemaAndThoseThatDoNotNotifyEachOther(t *testing.T) {
	t.Parallel()

	base := sqltest.PostgresDatabase(t)
	here, there := notified(t, base), notified(t, base, sqlstore.WithTable("public."+sqlstore.DefaultTable))

	for _, pair := range [][2]*sqlstore.Notified{{here, there}, {there, here}} {
		claim := newClaim()
		start(t, pair[0], claim)

		changed, stop := pair[1].Watch(claim.Key)

		res, err := pair[0].Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
		happens(t, "the other process hears of it", changed)
		stop()
	}
}

func TestContractWithNotifications(t *testing.T) {
	t.Parallel()

	base := sqltest.PostgresDatabase(t)
	s, db := notified(t, base), pool(base.DB(t))

	storetest.Run(t, func(*testing.T) store.Store { return s }, storetest.WithUnit(unit),
		storetest.WithJoin(func(ctx context.Context, _ store.Store) (storetest.Joining, error) { return kinds[0].join(ctx, db) }))
}

func TestAnotherProcessIsNotifiedOfTheEndOfARun(t *testing.T) {
	t.Parallel()

	db := sqltest.PostgresDatabase(t)
	here, there := notified(t, db), notified(t, db)

	for _, end := range []func(store.Claim) (store.Result, error){
		func(c store.Claim) (store.Result, error) { return here.Complete(t.Context(), completion(c, "paid")) },
		func(c store.Claim) (store.Result, error) { return here.Release(t.Context(), release(c)) },
		func(c store.Claim) (store.Result, error) { return here.Hold(t.Context(), hold(c)) },
	} {
		claim := newClaim()
		start(t, here, claim)

		changed, stop := there.Watch(claim.Key)
		other, stopOther := there.Watch(newKey())

		res, err := end(claim)
		must(t, res, err)
		happens(t, "the other process is told", changed)

		select {
		case <-other:
			t.Error("another key was woken")
		default:
		}

		stop()
		stopOther()
	}
}

// joinedRun is a run whose handler joins, and answers with success.
type joinedRun struct {
	claim   store.Claim
	applied atomic.Bool
	refusal error
}

func (j *joinedRun) Outcome(any, error) (op store.Completion, definite, keep bool, problem error) {
	return completion(j.claim, "paid"), true, false, nil
}

func (j *joinedRun) Refusal(context.Context) error { return j.refusal }

func (j *joinedRun) Written(applied bool) { j.applied.Store(applied) }

func TestAnotherProcessIsNotifiedOfAJoinedRunWhenItsTransactionHasCommitted(t *testing.T) {
	t.Parallel()

	base := sqltest.PostgresDatabase(t)
	here, there := notified(t, base), notified(t, base)

	ways := joins(pool(base.DB(t)), base.DSN())
	for _, mode := range []string{"exec", "simple_protocol"} {
		ways[mode] = joins(pool(base.DB(t, "default_query_exec_mode="+mode)), "")["database/sql"]
	}

	for name, join := range ways {
		undone, done := newClaim(), newClaim()

		start(t, here, undone)
		start(t, here, done)

		changedNot, stopNot := there.Watch(undone.Key)
		changed, stop := there.Watch(done.Key)

		for _, claim := range []store.Claim{undone, done} {
			run := &joinedRun{claim: claim}

			err := join(here.Join(t.Context(), run), func() error {
				select {
				case <-changed:
					t.Errorf("%s: the other process is told before the commit", name)
				default:
				}

				if claim.Key == undone.Key {
					return errNo
				}

				return nil
			})
			if !run.applied.Load() || (claim.Key == undone.Key) != errors.Is(err, errNo) {
				t.Errorf("%s: %v, written: %t", name, err, run.applied.Load())
			}
		}

		happens(t, name+": the other process is told", changed)

		select {
		case <-changedNot:
			t.Errorf("%s: the other process is told of what was rolled back", name)
		default:
		}

		stop()
		stopNot()
	}
}

// joins lists the ways to join. Each rolls back if last, its last step before the commit, returns an error.
func joins(db *sql.DB, dsn string) map[string]func(ctx context.Context, last func() error) error {
	return map[string]func(ctx context.Context, last func() error) error{
		"database/sql": func(ctx context.Context, last func() error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()

			if err := errors.Join(sqlstore.Join(ctx, tx, nil), last()); err != nil {
				return err
			}

			return tx.Commit()
		},
		"pgx": func(ctx context.Context, last func() error) error {
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))

			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				err := sqlstore.Join(ctx, sqlstore.ExecFunc(func(ctx context.Context, query string, args ...any) (int64, error) {
					tag, err := tx.Exec(ctx, query, args...)

					return tag.RowsAffected(), err
				}), nil)

				return errors.Join(err, last())
			})
		},
	}
}

func TestAnotherProcessIsNotifiedWhateverTheLengthOfTheTablesName(t *testing.T) {
	t.Parallel()

	db := sqltest.PostgresDatabase(t)
	schema := strings.Repeat("s", 48)

	if _, err := db.DB(t).ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}

	for _, longest := range []int{14, 15, 48} { // a channel of 63 bytes, of 64 and of more
		table := sqlstore.WithTable(schema + "." + strings.Repeat("t", longest))
		here, there := notified(t, db, table), notified(t, db, table)
		claim := newClaim()
		start(t, here, claim)

		changed, stop := there.Watch(claim.Key)
		res, err := here.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
		happens(t, "the other process is told", changed)
		stop()
	}
}

func TestWhoeverWatchesIsWokenWhenTheListenerListensAgain(t *testing.T) {
	t.Parallel()

	base := sqltest.PostgresDatabase(t)
	proxy := sqltest.NewProxy(t, base)
	k := kinds[0]
	lost := make(chan error, 1)

	s, err := k.on(t, pool(base.DB(t))).Notify(sqlstore.ListenerFunc(
		func(ctx context.Context, channel string, notify func(string)) error {
			err := listener(proxy.DSN()).Listen(ctx, channel, notify)

			select {
			case lost <- err:
			default:
			}

			return err
		}))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	ended := make(chan error, 1)

	first, stopFirst := s.Watch(newKey())
	defer stopFirst()

	go func() { ended <- s.Run(ctx) }()

	happens(t, "the listener listens", first)

	proxy.Cut()

	if err := happens(t, "the connection is lost", lost); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the listener returned %v", err)
	}

	second, stopSecond := s.Watch(newKey())
	defer stopSecond()

	happens(t, "the listener listens again", second)
	cancel()

	if err := happens(t, "Run ends", ended); err != nil {
		t.Error(err)
	}
}

func TestNotifyIsForPostgreSQL(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, _ := k.open(t)

		if _, err := s.Notify(listener("")); (err == nil) != (k.dialect == sqlstore.PostgreSQL) {
			t.Errorf("Notify returned %v", err)
		}

		if _, err := s.Notify(nil); err == nil {
			t.Error("it has taken no listener for one")
		}
	})
}
