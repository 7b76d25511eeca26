package unique_test

import (
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/orders/ways/unique"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newDatabase(t *testing.T) *sql.DB {
	t.Helper()

	db := sqltest.SQLite(t).DB(t, "_pragma=busy_timeout(10000)")

	for _, schema := range []string{unique.PaymentsSchema, unique.CouponsSchema} {
		if _, err := db.ExecContext(t.Context(), schema); err != nil {
			t.Fatal(err)
		}
	}

	return db
}

func TestAPaymentIsMadeOnceWhoeverRepeatsIt(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)
	payment := unique.Payment{ID: "pay-1", OrderID: "order-1", Cents: 500}

	var (
		all  sync.WaitGroup
		made atomic.Int64
	)

	for range 8 {
		all.Go(func() {
			did, err := unique.Pay(t.Context(), db, payment)
			if err != nil {
				t.Error(err)
			}

			if did {
				made.Add(1)
			}
		})
	}

	all.Wait()

	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM payments").Scan(&rows); err != nil || rows != 1 || made.Load() != 1 {
		t.Errorf("%d rows, %v; %d callers have made the payment", rows, err, made.Load())
	}
}

func TestAnotherPaymentUnderTheSameIDIsRefused(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)

	if _, err := unique.Pay(t.Context(), db, unique.Payment{ID: "pay-1", OrderID: "order-1", Cents: 500}); err != nil {
		t.Fatal(err)
	}

	for _, other := range []unique.Payment{{ID: "pay-1", OrderID: "order-2", Cents: 500}, {ID: "pay-1", OrderID: "order-1", Cents: 501}} {
		if made, err := unique.Pay(t.Context(), db, other); made || !errors.Is(err, unique.ErrTaken) {
			t.Errorf("%+v: made is %v, %v", other, made, err)
		}
	}
}

func TestACustomerRedeemsACodeForOneOrder(t *testing.T) {
	t.Parallel()

	db := newDatabase(t)

	for _, step := range []struct {
		customer, code, order string
		want                  error
	}{
		{"alice", "SPRING", "order-1", nil},
		{"alice", "SPRING", "order-1", nil}, // the repeat
		{"alice", "SPRING", "order-2", unique.ErrTaken},
		{"alice", "SUMMER", "order-2", nil},
		{"bob", "SPRING", "order-3", nil},
	} {
		if err := unique.Redeem(t.Context(), db, step.customer, step.code, step.order); !errors.Is(err, step.want) {
			t.Errorf("%+v: %v", step, err)
		}
	}
}
