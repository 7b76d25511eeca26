package version_test

import (
	"database/sql"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/orders/ways/version"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newStock returns a database with some pens.
func newStock(t *testing.T, pens int64) *sql.DB {
	t.Helper()

	db := sqltest.SQLite(t).DB(t, "_pragma=busy_timeout(10000)")

	if _, err := db.ExecContext(t.Context(), version.Schema); err != nil {
		t.Fatal(err)
	}

	if _, err := db.ExecContext(t.Context(), "INSERT INTO stock VALUES ('pen', $1, 1)", pens); err != nil {
		t.Fatal(err)
	}

	return db
}

func mustHave(t *testing.T, db *sql.DB, want version.Stock) {
	t.Helper()

	if got, err := version.Read(t.Context(), db, "pen"); err != nil || got != want {
		t.Errorf("the stock is %+v, %v; want %+v", got, err, want)
	}
}

func TestARepeatedChangeOfTheSameVersionIsMadeOnce(t *testing.T) {
	t.Parallel()

	db := newStock(t, 10)

	read, err := version.Read(t.Context(), db, "pen")
	if err != nil {
		t.Fatal(err)
	}

	if left, err := version.TakeAt(t.Context(), db, "pen", read, 3); left != 7 || err != nil {
		t.Errorf("left are %d, %v", left, err)
	}

	if _, err := version.TakeAt(t.Context(), db, "pen", read, 3); !errors.Is(err, version.ErrChanged) {
		t.Errorf("the repeat: %v", err)
	}

	mustHave(t, db, version.Stock{Pieces: 7, Version: 2})
}

func TestNoChangeIsLostWhenManyAreMadeAtOnce(t *testing.T) {
	t.Parallel()

	db := newStock(t, 100)

	var all sync.WaitGroup

	for range 8 {
		all.Go(func() {
			for range 5 {
				if _, err := version.Take(t.Context(), db, "pen", 2); err != nil {
					t.Error(err)
				}
			}
		})
	}

	all.Wait()
	mustHave(t, db, version.Stock{Pieces: 20, Version: 41})
}

func TestNobodyTakesMoreThanThereIs(t *testing.T) {
	t.Parallel()

	db := newStock(t, 3)

	for _, pieces := range []int64{4, 0, -1} {
		if _, err := version.Take(t.Context(), db, "pen", pieces); !errors.Is(err, version.ErrSoldOut) {
			t.Errorf("taking %d: %v", pieces, err)
		}
	}

	if _, err := version.Take(t.Context(), db, "ink", 1); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("taking what there never was: %v", err)
	}

	mustHave(t, db, version.Stock{Pieces: 3, Version: 1})
}

// This is why the stock is behind an idempotency key in the example.
func TestAChangeThatReadsAgainBeforeItIsRepeatedIsMadeTwice(t *testing.T) {
	t.Parallel()

	db := newStock(t, 10)

	for range 2 {
		if _, err := version.Take(t.Context(), db, "pen", 3); err != nil {
			t.Fatal(err)
		}
	}

	mustHave(t, db, version.Stock{Pieces: 4, Version: 3})
}
