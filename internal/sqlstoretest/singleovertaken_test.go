package sqlstoretest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

var errNothing = errors.New("nothing was sold")

// afterLosing is a handler that loses its transaction, lets something happen, and returns that it has done nothing.
func (s *shop) afterLosing(lose func(ctx context.Context), happen func()) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if _, err := s.sell("one")(ctx); err != nil {
			return nil, err
		}

		lose(ctx)
		happen()

		return nil, onlyonce.NotExecuted(errNothing)
	}
}

// losing are the ways in which a handler loses its transaction, and with it the key, before it returns. The error of a row is seen by the
// handler alone.
func (k kind) losing(cut func()) map[string]func(ctx context.Context) {
	ways := map[string]func(ctx context.Context){"connection-lost": func(context.Context) { cut() }}

	if k.dialect == sqlstore.PostgreSQL {
		const wrong = "SELECT 1 / (SELECT 0)"

		ways["statement-failed"] = func(ctx context.Context) { _, _ = sqlstore.Tx(ctx).ExecContext(ctx, wrong) }
		ways["row-failed"] = func(ctx context.Context) {
			_ = sqlstore.Tx(ctx).QueryRowContext(ctx, wrong).Scan(new(int))
		}
	}

	return ways
}

func TestF16RunThatHasLostItsTransactionDoesNotSayThatNothingHappened(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		proxy := sqltest.NewProxy(t, base)
		st, s := k.on(t, pool(proxy.DB(t, k.params...))), k.orders(t, pool(base.DB(t, k.params...)))
		here, there := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.SingleTransaction)

		for name, lose := range k.losing(proxy.Cut) {
			before := s.rows(t)

			var other answer

			got := call(t.Context(), here, name, s.afterLosing(lose, func() {
				other = call(t.Context(), there, name, s.sell(name))
			}))

			if other.err != nil || other.Status != onlyonce.StatusExecuted {
				t.Fatalf("%s: the other call got %s, %v", name, other.Status, other.err)
			}

			got.mustBe(t, onlyonce.StatusReplayed, string(other.Body))

			if rows := s.rows(t) - before; rows != 1 {
				t.Errorf("%s: %d rows", name, rows)
			}
		}
	})
}

func TestRunThatHasLostItsTransactionIsReleasedWhereNobodyElseHasRun(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		proxy := sqltest.NewProxy(t, base)
		st, s := k.on(t, pool(proxy.DB(t, k.params...))), k.orders(t, pool(base.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction)

		for name, lose := range k.losing(proxy.Cut) {
			got := call(t.Context(), e, name, s.afterLosing(lose, func() {}))
			if got.Status != onlyonce.StatusReleased || !errors.Is(got.err, errNothing) {
				t.Errorf("%s: got %s, %v", name, got.Status, got.err)
			}

			if got := call(t.Context(), e, name, s.sell(name)); got.Status != onlyonce.StatusExecuted || got.err != nil {
				t.Errorf("%s: the next call got %s, %v", name, got.Status, got.err)
			}
		}
	})
}
