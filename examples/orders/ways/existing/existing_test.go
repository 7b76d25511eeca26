package existing_test

import (
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/orders/ways/existing"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newDatabase(t *testing.T) *sql.DB {
	t.Helper()

	db := sqltest.SQLite(t).DB(t, "_pragma=busy_timeout(10000)")

	if _, err := db.ExecContext(t.Context(), existing.Schema); err != nil {
		t.Fatal(err)
	}

	return db
}

func TestTheOrderThatThereIsIsReturnedAsItHasBecome(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)
	order := existing.Order{ID: "order-1", Customer: "alice", Cents: 500, State: "CREATED"}

	if got, created, err := existing.Create(t.Context(), db, order); got != order || !created || err != nil {
		t.Errorf("first: %+v, %v, %v", got, created, err)
	}

	if _, err := db.ExecContext(t.Context(), "UPDATE orders SET state = 'PAID', payment_id = 'pay-1'"); err != nil {
		t.Fatal(err)
	}

	want := order
	want.State, want.PaymentID = "PAID", "pay-1"

	if got, created, err := existing.Create(t.Context(), db, order); got != want || created || err != nil {
		t.Errorf("again: %+v, %v, %v", got, created, err)
	}
}

func TestOfCallersWhoCreateAnOrderAtOnceOneDoes(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)

	var (
		all     sync.WaitGroup
		created atomic.Int64
	)

	for range 8 {
		all.Go(func() {
			_, did, err := existing.Create(t.Context(), db, existing.Order{ID: "order-1", Customer: "alice", Cents: 500, State: "CREATED"})
			if err != nil {
				t.Error(err)
			}

			if did {
				created.Add(1)
			}
		})
	}

	all.Wait()

	if n := created.Load(); n != 1 {
		t.Errorf("%d callers have created the order", n)
	}
}

func TestAnotherOrderOfTheSameNameIsRefused(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)

	order := existing.Order{ID: "order-1", Customer: "alice", Cents: 500, State: "CREATED"}
	if _, _, err := existing.Create(t.Context(), db, order); err != nil {
		t.Fatal(err)
	}

	for _, other := range []existing.Order{
		{ID: "order-1", Customer: "bob", Cents: 500, State: "CREATED"}, {ID: "order-1", Customer: "alice", Cents: 501, State: "CREATED"},
	} {
		if _, created, err := existing.Create(t.Context(), db, other); created || !errors.Is(err, existing.ErrDiffers) {
			t.Errorf("%+v: created is %v, %v", other, created, err)
		}
	}
}
