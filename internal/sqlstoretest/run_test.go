package sqlstoretest_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// reports is an observer of Run.
type reports struct {
	mu     sync.Mutex
	failed map[store.EventKind]int // failures in a row
	worked map[store.EventKind]int // since the last failure
}

func (r *reports) ObserveStore(_ context.Context, e store.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()

	switch {
	case e.Err == nil:
		r.worked[e.Kind]++
	case r.worked[e.Kind] > 0:
		r.failed[e.Kind], r.worked[e.Kind] = 1, 0
	default:
		r.failed[e.Kind]++
	}
}

// are reports whether a step has failed, or worked, so many times in a row.
func (r *reports) are(step store.EventKind, failed bool, times int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	if failed {
		return r.worked[step] == 0 && r.failed[step] >= times
	}

	return r.worked[step] >= times
}

// More sweeps fail than ever ended Run, and so does the listener.
func TestF94SweeperAndListenerGoOnWhenTheDatabaseIsBack(t *testing.T) {
	t.Parallel()

	const failures = 12

	for name, serve := range map[string]func(testing.TB, ...sqltest.Option) *sqltest.Server{
		"PostgreSQL": sqltest.Postgres, "MariaDB": sqltest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := serve(t)
			k := kinds[0]

			steps := []store.EventKind{store.EventSweep, store.EventListen}
			if name != k.name {
				k, steps = kinds[1], steps[:1]
			}

			all := &reports{failed: make(map[store.EventKind]int), worked: make(map[store.EventKind]int)}
			db := pool(server.DB(t, k.params...))
			s := k.on(t, db, sqlstore.WithSweep(time.Millisecond, 10), sqlstore.WithObserver(all))

			run := s.Run
			watch := func(store.Key) (<-chan struct{}, func()) { return nil, func() {} }

			if len(steps) > 1 {
				n, err := s.Notify(listener(server.DSN()))
				if err != nil {
					t.Fatal(err)
				}

				run, watch = n.Run, n.Watch
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			ended := make(chan error, 1)

			go func() { ended <- run(ctx) }()

			for _, step := range steps {
				eventually(t, fmt.Sprint(step, " works"), func() bool { return all.are(step, false, 1) })
			}

			server.Kill()

			eventually(t, "sweeps fail", func() bool { return all.are(store.EventSweep, true, failures) })

			if len(steps) > 1 {
				eventually(t, "the listener has ended", func() bool { return all.are(store.EventListen, true, 1) })
			}

			changed, stop := watch(newKey())
			defer stop()

			server.Restart()

			for _, step := range steps {
				// A listener that has failed for long waits for half a minute.
				eventually(t, fmt.Sprint(step, " works again"), func() bool { return all.are(step, false, 1) })
			}

			if changed != nil {
				happens(t, "who watches is woken when it listens again", changed)
			}

			claim := brief()
			start(t, s, claim)
			res, err := s.Complete(t.Context(), completion(claim, "paid"))
			must(t, res, err)
			eventually(t, "what has expired is deleted", func() bool { return k.rows(db).count(t) == 0 })
			cancel()

			if err := happens(t, "Run ends", ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// While a long transaction may still see deleted rows, they stay in the sweeper's index.
func TestSweepDoesNotReadAgainWhatItHasDeletedWhileALongTransactionKeepsIt(t *testing.T) {
	t.Parallel()

	const batch, batches = 200, 20

	k := kinds[0]
	base := k.fresh(t)
	db := base.DB(t)
	db.SetMaxOpenConns(1) // the statistics are those of one connection

	s := k.on(t, db, sqlstore.WithSweep(time.Hour, batch))
	fill(t, db, batch*batches)

	if _, err := db.ExecContext(t.Context(), "ANALYZE onlyonce_records"); err != nil {
		t.Fatal(err)
	}

	long, err := base.DB(t).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = long.Rollback() }()

	if _, err := long.ExecContext(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}

	// How many entries of the index were read, dead or alive.
	read := func() (n int64) {
		const query = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'onlyonce_records_expiring'"

		if _, err := db.ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}

		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}

		return n
	}

	before := read()

	for i := range batches + 3 {
		want := batch
		if i >= batches {
			want = 0
		}

		if n, err := s.Sweep(t.Context()); err != nil || n != want {
			t.Fatalf("batch %d: %d were deleted, %v, want %d", i, n, err, want)
		}
	}

	// The last of a batch is read again by the next.
	if n := read() - before; n > batch*batches+100 {
		t.Errorf("%d entries were read to delete %d records in batches of %d", n, batch*batches, batch)
	}
}

// fill makes records that expired long ago.
func fill(tb testing.TB, db *sql.DB, n int) {
	tb.Helper()

	const query = `INSERT INTO onlyonce_records (
		id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention, seal, outcome_seal,
		checksum, format, state, guarantee, flags, scheme, token, fingerprint, method, readable_key, outcome, sweep_at)
	SELECT sha256(n::text::bytea), 0, 0, 0, 0, 0, 0, n, 0, 0, 0, 0, 0, 1009 * 4 + 5 * n, 1, 4, 0, 0, 1, '', '', '', '', '', n
	FROM generate_series(1, $1::bigint) AS n`

	if _, err := db.ExecContext(tb.Context(), query, n); err != nil {
		tb.Fatal(err)
	}
}
