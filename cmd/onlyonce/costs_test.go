//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The measured records have a readable key and a method of 70 bytes, and the envelope of an outcome.
const (
	weighedKey    = "0190f0c4-7c3e-7b1a-9c55-1f2e3d4c5b6a"
	weighedMethod = "/payments.v1.PaymentService/Payment"
	weighedNames  = len(weighedKey) + len(weighedMethod)
	weighedStored = 9
	weighedLong   = 1000
	weighers      = 32
	// tolerance is the allowed error of the costs.
	tolerance = 0.3
	// ample is the tolerance for costs of InnoDB that are too high. Its pages are half full to full, and it removes old
	// row versions late.
	ample = 0.6
)

// scales measure the size of a store.
type scales struct {
	store   store.Store
	records int
	weigh   func() float64
}

// fill adds settled records with outcomes of one size.
func (s *scales) fill(t *testing.T, records, length int) {
	t.Helper()

	var (
		left     atomic.Int64
		mu       sync.Mutex
		problems []error
		fillers  sync.WaitGroup
	)

	left.Store(int64(records))

	for range weighers {
		fillers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := s.add(context.WithoutCancel(t.Context()), length); err != nil {
					mu.Lock()
					problems = append(problems, err)
					mu.Unlock()

					return
				}
			}
		})
	}

	fillers.Wait()

	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
}

func (s *scales) add(ctx context.Context, length int) error {
	op := store.Claim{
		Lease: time.Hour, MaxRun: time.Hour, Retention: 24 * time.Hour, Method: weighedMethod, ReadableKey: weighedKey,
	}
	_, _ = rand.Read(op.Key[:])
	_, _ = rand.Read(op.Token[:])
	op.Fingerprint.Scheme = 1

	res, err := s.store.Claim(ctx, op)
	if err != nil {
		return err
	}

	outcome := make([]byte, weighedStored+length)
	_, _ = rand.Read(outcome)

	_, err = s.store.Complete(ctx, store.Completion{Key: op.Key, Token: op.Token, Outcome: outcome, Receipt: res.Receipt})

	return err
}

// mustWeigh compares the measured size of records with the costs of a kind of store. Costs may be too low by tolerance,
// and too high by tooHigh. Names and outcomes together give two points of a line. A table grows faster while many writers
// wait for each other, such as on a slow machine, so one of a few measurements must agree, and none may be too small.
func mustWeigh(t *testing.T, kind operate.StoreKind, tooHigh float64, open func(t *testing.T) scales) {
	t.Helper()

	weight := func(length int) float64 {
		s := open(t)
		before := s.weigh()
		s.fill(t, s.records, length)

		return (s.weigh() - before) / float64(s.records)
	}

	costs, _ := operate.CostsOf(kind)
	empty := costs.Record + costs.PerByte*float64(weighedNames+weighedStored)
	long := empty + costs.PerByte*weighedLong

	for _, w := range []struct {
		name   string
		length int
		want   float64
	}{{"without an outcome", 0, empty}, {"with a long outcome", weighedLong, long}} {
		agrees := func() bool {
			got := weight(w.length)
			t.Logf("%s: a record %s takes %.0f B, the costs are %.0f B", kind, w.name, got, w.want)

			if got < (1-tooHigh)*w.want {
				t.Errorf("%s: a record %s takes only %.0f B, the costs are %.0f B", kind, w.name, got, w.want)
			}

			return got <= (1+tolerance)*w.want
		}

		left := 4 // measurements
		for left > 0 && !agrees() {
			left--
		}

		if left == 0 {
			t.Errorf("%s: a record %s always takes much more than %.0f B", kind, w.name, w.want)
		}
	}
}

func TestCostsOfRedisAreWhatRecordsTake(t *testing.T) {
	const records = 32_000 // fills the hash tables of Redis, whose sizes are powers of two

	mustWeigh(t, operate.Redis, tolerance, func(t *testing.T) scales {
		t.Helper()

		server := redistest.Standalone(t)

		a := &app{env: func(string) string { return server.URL() }, store: storeFlags{timeout: time.Minute}}

		s, err := a.open()
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(s.close)

		return scales{store: s.Store, records: records, weigh: func() float64 {
			info, err := server.Client().Info(t.Context(), "memory").Result()
			if err != nil {
				t.Fatal(err)
			}

			_, rest, _ := strings.Cut(info, "used_memory:")
			text, _, _ := strings.Cut(rest, "\r\n")
			used, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}

			return used
		}}
	})
}

func TestCostsOfMemoryAreWhatRecordsTake(t *testing.T) {
	const records = 100_000

	mustWeigh(t, operate.Memory, tolerance, func(t *testing.T) scales {
		t.Helper()

		s := memstore.New()

		return scales{store: s, records: records, weigh: func() float64 {
			var stats runtime.MemStats

			runtime.GC()
			runtime.ReadMemStats(&stats)
			runtime.KeepAlive(s)

			return float64(stats.HeapAlloc)
		}}
	})
}

// sqlScales measures a database.
func sqlScales(t *testing.T, d *sqltest.Database, dialect sqlstore.Dialect, records int, params string, weigh ...string) scales {
	t.Helper()

	db := d.DB(t, params)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	if err := sqlstore.Migrate(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}

	s, err := sqlstore.New(db, dialect, sqlstore.WithTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	return scales{store: s, records: records, weigh: func() float64 {
		for _, statement := range weigh[:len(weigh)-1] {
			execute(t, db, statement)
		}

		var size float64
		if err := db.QueryRowContext(t.Context(), weigh[len(weigh)-1]).Scan(&size); err != nil {
			t.Fatal(err)
		}

		return size
	}}
}

// execute executes a statement that may return rows.
func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()

	rows, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	for rows.Next() { // the rows do not matter
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCostsOfPostgreSQLAreWhatRecordsTake(t *testing.T) {
	const records = 2_000

	mustWeigh(t, operate.PostgreSQL, tolerance, func(t *testing.T) scales {
		t.Helper()

		return sqlScales(t, sqltest.PostgresDatabase(t), sqlstore.PostgreSQL, records, "synchronous_commit=off",
			"SELECT pg_total_relation_size('onlyonce_records')")
	})
}

func TestCostsOfMariaDBAreWhatRecordsTake(t *testing.T) {
	const records = 1_000

	mustWeigh(t, operate.MySQL, ample, func(t *testing.T) scales {
		t.Helper()

		return sqlScales(t, sqltest.MariaDBDatabase(t), sqlstore.MySQL, records, "",
			"ANALYZE TABLE onlyonce_records",
			"SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = database() AND table_name = 'onlyonce_records'")
	})
}

func TestCostsOfSQLiteAreWhatRecordsTake(t *testing.T) {
	const records = 1_500

	mustWeigh(t, operate.SQLite, tolerance, func(t *testing.T) scales {
		t.Helper()

		d := sqltest.SQLite(t)
		s := sqlScales(t, d, sqlstore.SQLite, records, "_pragma=synchronous(NORMAL)&_txlock=immediate", "SELECT 0")
		db := d.DB(t)

		s.weigh = func() float64 {
			if _, err := db.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				t.Fatal(err)
			}

			info, err := os.Stat(d.Addr())
			if err != nil {
				t.Fatal(err)
			}

			return float64(info.Size())
		}

		return s
	})
}
