package sqlstoretest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

var errNothing = errors.New("nothing was sold")

// besideProxy is a store whose connections can be lost, and a shop whose own cannot.
func (k kind) besideProxy(tb testing.TB, opts ...sqlstore.Option) (*sqlstore.Store, *sqltest.Proxy, *shop) {
	tb.Helper()

	base := k.fresh(tb)
	proxy := sqltest.NewProxy(tb, base)

	return k.on(tb, pool(proxy.DB(tb, k.params...)), opts...), proxy, k.orders(tb, pool(base.DB(tb, k.params...)))
}

// afterLosing is a handler that loses its transaction, lets something happen, and ends with err.
func (s *shop) afterLosing(lose func(ctx context.Context), happen func(), err error) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if _, err := s.sell("one")(ctx); err != nil {
			return nil, err
		}

		lose(ctx)
		happen()

		return []byte("sold"), err
	}
}

// losing lists the ways in which a handler loses its transaction, and with it the key, before it returns. Only the
// handler sees the error of a row.
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

func TestF16RunThatHasLostItsTransactionDoesNotReportNotExecuted(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		st, proxy, s := k.besideProxy(t)
		here, there := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.SingleTransaction)

		for name, lose := range k.losing(proxy.Cut) {
			before := s.rows(t)

			var other answer

			got := call(t.Context(), here, name, s.afterLosing(lose, func() {
				other = call(t.Context(), there, name, s.sell(name))
			}, onlyonce.NotExecuted(errNothing)))

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

		st, proxy, s := k.besideProxy(t)
		e := engine(t, st, onlyonce.SingleTransaction)

		for name, lose := range k.losing(proxy.Cut) {
			got := call(t.Context(), e, name, s.afterLosing(lose, func() {}, onlyonce.NotExecuted(errNothing)))
			if got.Status != onlyonce.StatusReleased || !errors.Is(got.err, errNothing) {
				t.Errorf("%s: got %s, %v", name, got.Status, got.err)
			}

			if got := call(t.Context(), e, name, s.sell(name)); got.Status != onlyonce.StatusExecuted || got.err != nil {
				t.Errorf("%s: the next call got %s, %v", name, got.Status, got.err)
			}
		}
	})
}

// After a failed statement, PostgreSQL refuses to commit, and the key has long been free. The program of this test
// reports such refusals as NotExecuted.
func TestF16RunThatIsRefusedAfterATakeoverReportsAnUnknownOutcome(t *testing.T) {
	postgres := slices.DeleteFunc(singleServers(), func(k kind) bool { return k.dialect != sqlstore.PostgreSQL })

	each(t, postgres, func(t *testing.T, k kind) {
		t.Helper()

		st, proxy, s := k.besideProxy(t, sqlstore.WithCommitError(onlyonce.NotExecuted))
		here, there := engine(t, st, onlyonce.SingleTransaction), engine(t, st, onlyonce.SingleTransaction)
		fail := k.losing(proxy.Cut)["statement-failed"]

		for key, tt := range map[string]struct {
			happen func()
			want   onlyonce.Status
		}{
			"alone":     {func() {}, onlyonce.StatusReleased},
			"overtaken": {func() { call(t.Context(), there, "overtaken", s.sell("overtaken")) }, onlyonce.StatusUnknown},
		} {
			got := call(t.Context(), here, key, s.afterLosing(fail, tt.happen, nil))
			if got.Status != tt.want || got.err == nil {
				t.Errorf("%s: got %s, %v", key, got.Status, got.err)
			}
		}

		s.mustHave(t, 3, 1)
	})
}
