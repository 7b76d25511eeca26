package sqlstoretest_test

import (
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/storetest"
)

// pooled is PostgreSQL behind a pooler in transaction mode, which has fewer connections than its clients.
func pooled() kind {
	return kind{
		"PostgreSQL behind a pooler", sqlstore.PostgreSQL,
		func(tb testing.TB) *sqltest.Database {
			tb.Helper()

			return sqltest.Pooler(tb, sqltest.PostgresDatabase(tb))
		},
		[]string{"default_query_exec_mode=exec"}, nil,
	}
}

// leased is a store without its transactions.
type leased struct{ store.Store }

func (s leased) Capabilities() store.Capabilities {
	all := s.Store.Capabilities()
	all.Transactional = nil

	return all
}

func TestEverythingWorksThroughAPoolerInTransactionMode(t *testing.T) {
	together := pooled()
	together.name, together.options = together.name+", pipelined", pipelined().options

	each(t, []kind{pooled(), together}, func(t *testing.T, k kind) {
		t.Helper()

		t.Run("leased", func(t *testing.T) {
			t.Parallel()

			if len(k.options) > 0 {
				return // the same
			}

			s, _ := k.open(t)
			storetest.Run(t, func(*testing.T) store.Store { return leased{s} }, storetest.WithUnit(unit))
		})

		for name, transaction := range map[string]onlyonce.TransactionMode{
			"single": onlyonce.SingleTransaction, "joined": onlyonce.JoinedTransaction,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()

				s, e := k.opened(t, transaction)
				handler := s.sell
				if transaction == onlyonce.JoinedTransaction {
					handler = s.join
				}

				got := make(chan answer)

				const keys, callers = 8, 4

				for i := range keys * callers {
					key := string('a' + rune(i%keys))

					go func() { got <- call(t.Context(), e, key, handler(key)) }()
				}

				for range keys * callers {
					if a := <-got; a.err != nil {
						t.Error(a.err)
					}
				}

				s.mustHave(t, keys, keys)
			})
		}
	})
}
