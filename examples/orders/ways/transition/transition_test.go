package transition_test

import (
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/orders/ways/transition"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newOrder returns a database with one order in a state.
func newOrder(t *testing.T, state transition.State) *sql.DB {
	t.Helper()

	db := sqltest.SQLite(t).DB(t, "_pragma=busy_timeout(10000)")

	for _, query := range []string{
		"CREATE TABLE orders (id TEXT PRIMARY KEY, state TEXT)", "INSERT INTO orders VALUES ('o', '" + string(state) + "')",
	} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}

	return db
}

func TestEachMoveIsMadeOnceAndItsRepeatIsAccepted(t *testing.T) {
	t.Parallel()

	db := newOrder(t, transition.Created)

	for _, to := range []transition.State{transition.PendingPayment, transition.Paid, transition.Shipped, transition.Delivered} {
		for _, want := range []bool{true, false} {
			if moved, err := transition.Advance(t.Context(), db, "o", to); moved != want || err != nil {
				t.Errorf("to %s: moved is %v, %v; want %v", to, moved, err, want)
			}
		}
	}

	if moved, err := transition.Advance(t.Context(), db, "o", transition.Paid); moved || err != nil {
		t.Errorf("paying again what is delivered: moved is %v, %v", moved, err)
	}
}

func TestMovesThatAnOrderCannotMakeAreRefused(t *testing.T) {
	t.Parallel()

	for _, move := range []struct{ from, to transition.State }{
		{transition.Created, transition.Paid},
		{transition.PendingPayment, transition.Shipped},
		{transition.Shipped, transition.Cancelled},
		{transition.Cancelled, transition.Paid},
		{transition.Cancelled, transition.Created},
		{transition.Paid, "LOST"},
	} {
		if moved, err := transition.Advance(t.Context(), newOrder(t, move.from), "o", move.to); moved || !errors.Is(err, transition.ErrRefused) {
			t.Errorf("from %s to %s: moved is %v, %v", move.from, move.to, moved, err)
		}
	}
}

func TestAnOrderIsCancelledOnceUntilItIsShipped(t *testing.T) {
	t.Parallel()

	for _, from := range []transition.State{transition.Created, transition.PendingPayment, transition.Paid} {
		db := newOrder(t, from)

		for _, want := range []bool{true, false} {
			if moved, err := transition.Advance(t.Context(), db, "o", transition.Cancelled); moved != want || err != nil {
				t.Errorf("from %s: moved is %v, %v; want %v", from, moved, err, want)
			}
		}
	}
}

func TestOfCallersWhoMoveAnOrderAtOnceOneDoes(t *testing.T) {
	t.Parallel()

	db := newOrder(t, transition.PendingPayment)

	var (
		all   sync.WaitGroup
		moved atomic.Int64
	)

	for range 8 {
		all.Go(func() {
			did, err := transition.Advance(t.Context(), db, "o", transition.Paid)
			if err != nil {
				t.Error(err)
			}

			if did {
				moved.Add(1)
			}
		})
	}

	all.Wait()

	if n := moved.Load(); n != 1 {
		t.Errorf("%d callers have moved the order", n)
	}
}

func TestAnOrderThatDoesNotExistIsNotMoved(t *testing.T) {
	t.Parallel()

	_, err := transition.Advance(t.Context(), newOrder(t, transition.Created), "another", transition.PendingPayment)
	if !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("the error is %v", err)
	}
}
