package sqlstoretest_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// F91: connections die in silence, as in a failover without a reset, and new ones work. On a slow machine operations run out of time by
// themselves. Then the test is repeated with a longer timeout.
func TestF91IdleConnectionsThatDieInSilenceCostAFewOperationsAndNotOneEach(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		for timeout := 10 * unit; ; timeout *= 2 {
			err := k.costOfDeadConnections(t, timeout)
			if err == nil {
				return
			}

			if timeout >= 40*unit {
				t.Fatalf("with a timeout of %v, %v", timeout, err)
			}
		}
	})
}

// costOfDeadConnections returns an error if dead connections cost too many operations.
func (k kind) costOfDeadConnections(t *testing.T, timeout time.Duration) error {
	t.Helper()

	const (
		dead   = 60
		most   = 25 // operations that fail: the gate shuts after four, and a slow machine needs some probes; one for every two would be 32
		probes = 3  // probes of one operation: at most one begins in a second
	)

	proxy := sqltest.NewProxy(t, k.fresh(t))
	db, opened := k.countedPool(t, proxy.Database)

	db.SetMaxOpenConns(2 * dead)
	db.SetMaxIdleConns(2 * dead)
	k.on(t, db)

	s, err := newStore(db, k.dialect, sqlstore.WithTimeout(timeout))
	if err != nil {
		t.Fatal(err)
	}

	openAll(t, db, dead, func(*sql.Conn) {})
	proxy.Kill()

	before, failures := opened.Load(), 0

	for claimed := 0; claimed < 2*dead; {
		switch _, err := s.Claim(t.Context(), newClaim()); {
		case err == nil:
			claimed++
		case failures == most:
			return fmt.Errorf("%d claims have failed: %w", failures+1, err)
		default:
			failures++
		}
	}

	if n := opened.Load() - before; n > int64(most+probes*failures) {
		return fmt.Errorf("%d connections were opened, and %d claims have failed", n, failures)
	}

	return nil
}

// F12: a connection dies in silence before the transaction ends. database/sql has no context for that.
func TestF12NobodyWaitsForTheEndOfATransactionOnADeadConnectionAfterItsTime(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		proxy := sqltest.NewProxy(t, k.fresh(t))
		s := k.orders(t, pool(proxy.DB(t, k.params...)))

		for name, end := range map[string]func(cancel func()) error{
			"an error":  func(cancel func()) error { cancel(); return errNo },
			"a panic":   func(cancel func()) error { cancel(); panic(errNo) },
			"a success": func(cancel func()) error { time.AfterFunc(unit, cancel); return nil },
		} {
			ctx, cancel := context.WithCancel(sqlstore.OptionalRun(t.Context()))

			answer := func() (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = errNo
					}
				}()

				_, err = sqlstore.InTx(ctx, s.db, nil, func(ctx context.Context, tx *sql.Tx) (none struct{}, err error) {
					if _, err := tx.ExecContext(ctx, s.insert(), name, 0); err != nil {
						t.Error(err)
					}

					proxy.Kill()

					return none, end(cancel)
				})

				return err
			}()

			cancel()

			if answer == nil {
				t.Errorf("%s: a transaction has ended whose connection is dead", name)
			}
		}
	})
}
