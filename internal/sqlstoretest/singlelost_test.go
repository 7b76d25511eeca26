package sqlstoretest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestF12CommitReplyLostIsDecidedOnAnotherConnection(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		for fault, tt := range map[sqltest.Fault]struct {
			reason onlyonce.Reason
			rows   int64
			next   onlyonce.Status
		}{
			sqltest.LostReply:   {"", 1, onlyonce.StatusReplayed},
			sqltest.LostRequest: {onlyonce.ReasonStoreUnavailable, 0, onlyonce.StatusExecuted},
		} {
			st, proxy := k.behind(t)
			s := k.orders(t, pool(proxy.DB(t, k.params...)))
			e := engine(t, st, onlyonce.SingleTransaction)

			armed := proxy.Next(fault, sqltest.Starting("commit"))
			got := call(t.Context(), e, "one", s.sell("one"))

			armed.Wait()

			if tt.reason == "" {
				got.mustBe(t, onlyonce.StatusExecuted, "#1")
			} else {
				got.mustBeRejected(t, tt.reason)
			}

			s.mustHave(t, 1, tt.rows)

			if got := call(t.Context(), e, "one", s.sell("one")); got.Status != tt.next || got.err != nil {
				t.Errorf("%v: the next call got %s, %v", fault, got.Status, got.err)
			}

			if rows := s.rows(t); rows != 1 {
				t.Errorf("%v: %d rows", fault, rows)
			}
		}
	})
}

// A single transaction loses each of its statements once, before and after the server has executed it.
func TestF10LossOfAnyStatementOfASingleTransactionLeavesNothingHalf(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		st, proxy := k.behind(t)
		s := k.orders(t, pool(proxy.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction)

		for _, key := range []string{"first", "well"} { // the first call may ask for the server's version
			proxy.Reset()

			if got := call(t.Context(), e, key, s.sell(key)); got.err != nil {
				t.Fatal(got.err)
			}
		}

		statements := proxy.Count(sqltest.Any())

		for n := 1; n <= statements; n++ {
			for _, fault := range []sqltest.Fault{sqltest.LostRequest, sqltest.LostReply} {
				before := s.rows(t)
				key := fmt.Sprintf("%d-%d", n, fault)
				armed := proxy.Next(fault, nth(n))
				first := call(t.Context(), e, key, s.sell(key))

				armed.Wait()

				again := call(t.Context(), e, key, s.sell(key))
				if again.err != nil || first.err == nil && !bytes.Equal(first.Body, again.Body) {
					t.Errorf("%v of statement %d: %+v and then %+v", fault, n, first, again)
				}

				if rows := s.rows(t) - before; rows != 1 {
					t.Errorf("%v of statement %d: %d rows", fault, n, rows)
				}
			}
		}
	})
}

func TestF06SingleTransactionIsRefusedWhileTheDatabaseIsDown(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		st, proxy := k.behind(t)
		s := k.orders(t, pool(proxy.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction)

		proxy.Down()
		call(t.Context(), e, "one", s.sell("one")).mustBeRejected(t, onlyonce.ReasonStoreUnavailable)
		proxy.Up()
		call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#1")
		s.mustHave(t, 1, 1)
	})
}

var _ store.Transactional = (*sqlstore.Store)(nil)

func TestF10RollbackThatIsNeverAnsweredDoesNotHoldItsCaller(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		_, proxy := k.behind(t)
		hung := proxy.Every(sqltest.Hung, sqltest.Starting("rollback"))

		// On a slow machine the time may end before there is a transaction, or before the rollback is sent.
		for timeout := unit; hung.Count() == 0; timeout *= 2 {
			_, tx, err := k.impatient(t, proxy, timeout).Begin(t.Context(), newClaim(), patience)

			if timeout > patience {
				t.Fatalf("no rollback was sent; the last transaction: %v", err)
			}

			if tx == nil {
				continue
			}

			ended := make(chan struct{})

			go func() {
				_, _ = tx.Rollback() // no reply arrives
				close(ended)
			}()

			happens(t, "Rollback returns", ended)
		}
	})
}

// A reply may be lost in silence, on a connection that stays open.
func TestF12CommitThatIsNeverAnsweredIsDecidedInTime(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		st, proxy := k.behind(t)
		s := k.orders(t, pool(proxy.DB(t, k.params...)))
		e := engine(t, st, onlyonce.SingleTransaction, onlyonce.WithLimits(onlyonce.Limits{SettleTimeout: patience / 2}))

		armed := proxy.Next(sqltest.Hung, sqltest.Starting("commit"))
		call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusExecuted, "#1")
		armed.Wait()
		s.mustHave(t, 1, 1)
	})
}
