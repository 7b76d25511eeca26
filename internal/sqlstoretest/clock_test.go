package sqlstoretest_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// clocks opens a database through sessions whose clock is ahead. To a user of two sessions, the database's clock seems
// to step. In PostgreSQL, another function shadows the clock. In MariaDB, a session may set its time, which then stands
// still.
type clocks struct {
	kind kind
	base *sqltest.Database
}

func (k kind) clocks(tb testing.TB) clocks {
	tb.Helper()

	c := clocks{k, k.fresh(tb)}
	if k.dialect != sqlstore.PostgreSQL {
		return c
	}

	db := c.base.DB(tb)

	for _, query := range []string{
		"CREATE SCHEMA clock",
		"CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS " +
			"$$ SELECT pg_catalog.clock_timestamp() + current_setting('clock.ahead')::interval $$",
	} {
		if _, err := db.ExecContext(tb.Context(), query); err != nil {
			tb.Fatal(err)
		}
	}

	return c
}

func (c clocks) ahead(tb testing.TB, by time.Duration) *sql.DB {
	tb.Helper()

	if c.kind.dialect == sqlstore.PostgreSQL {
		options := fmt.Sprintf("-c search_path=clock,pg_catalog,public -c clock.ahead=%ds", int(by.Seconds()))

		return pool(c.base.DB(tb, "options="+strings.ReplaceAll(url.QueryEscape(options), "+", "%20")))
	}

	now := float64(time.Now().Add(by).UnixMilli()) / 1000

	return pool(c.base.DB(tb, fmt.Sprintf("timestamp=%.3f", now)))
}

// step is a step of the clock. It is longer than any lease, and much longer than the test.
const step = 5 * patience

// steps are the steps of the clock.
func steps() []time.Duration { return []time.Duration{step, -step} }

// mustBeAhead checks that the clocks of the two stores differ as intended.
func mustBeAhead(t *testing.T, here, there *sqlstore.Store, by time.Duration) {
	t.Helper()

	key := newKey()
	if got := lookup(t, there, key).Now.Sub(lookup(t, here, key).Now); (got - by).Abs() > patience {
		t.Fatalf("the clock is %v ahead, want %v", got, by)
	}
}

func TestF30SingleTransactionsDoNotDependOnTheClockOfTheStore(t *testing.T) {
	each(t, singleServers(), func(t *testing.T, k kind) {
		t.Helper()

		for _, by := range steps() {
			c := k.clocks(t)
			db := c.ahead(t, 0)
			before := k.on(t, db)
			s := k.orders(t, db)
			after := k.on(t, c.ahead(t, by))
			here, there := engine(t, before, onlyonce.SingleTransaction), engine(t, after, onlyonce.SingleTransaction)

			mustBeAhead(t, before, after, by)

			// During the run.
			handler, inside, letGo := s.held()
			first := inBackground(t.Context(), here, handler)

			happens(t, "the handler runs", inside)

			duplicate := inBackground(t.Context(), there, s.sell("one"))

			letGo()

			ran := happens(t, "the run ends", first)
			ran.mustBe(t, onlyonce.StatusExecuted, string(ran.Body))
			happens(t, "the duplicate is answered", duplicate).mustBe(t, onlyonce.StatusReplayed, string(ran.Body))

			// After the run: on the other clock, on the first, and on the other again.
			for i, e := range []*onlyonce.Engine{there, here, there} {
				call(t.Context(), e, "one", s.sell("one")).mustBe(t, onlyonce.StatusReplayed, string(ran.Body))

				key := fmt.Sprint("key-", i)
				if got := call(t.Context(), e, key, s.sell(key)); got.err != nil || got.Status != onlyonce.StatusExecuted {
					t.Errorf("%v: got %s, %v", by, got.Status, got.err)
				}
			}

			s.mustHave(t, 4, 4)
		}
	})
}

// A lease ends early when the clock is stepped forward, and its owner is overtaken: the rows of one of the two are committed.
func TestF30JoinedTransactionIsFencedWhenAStepOfTheClockEndsItsLease(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		c := k.clocks(t)
		db := c.ahead(t, 0)
		before := k.on(t, db)
		s := k.orders(t, db)
		after := k.on(t, c.ahead(t, step))
		here, there := engine(t, mute{before}, onlyonce.JoinedTransaction), engine(t, after, onlyonce.JoinedTransaction)

		mustBeAhead(t, before, after, step)

		var second answer

		first := call(t.Context(), here, "one", func(ctx context.Context) ([]byte, error) {
			second = call(context.WithoutCancel(ctx), there, "one", s.join("one"))

			return s.join("one")(context.WithoutCancel(ctx))
		})

		second.mustBe(t, onlyonce.StatusExecuted, "#1")
		first.mustBe(t, onlyonce.StatusReplayed, "#1")
		s.mustHave(t, 2, 1)
	})
}

// After a step back, the lease of a dead owner holds for longer. No other run starts before its end.
func TestF30LeaseHoldsForLongerWhenTheClockIsSteppedBack(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		c := k.clocks(t)
		before, after := k.on(t, c.ahead(t, 0)), k.on(t, c.ahead(t, -step))

		mustBeAhead(t, before, after, -step)

		dead := newClaim()
		dead.Lease, dead.MaxRun = time.Second, time.Second
		lease := start(t, before, dead).Record.LeaseUntil

		taker := claimOn(dead.Key)
		taker.Fence = 1

		res, err := after.Claim(t.Context(), taker)
		if err != nil || res.Applied || res.Record.State != store.Running || !res.Record.LeaseUntil.Equal(lease) {
			t.Errorf("a takeover returned %+v, %v", res, err)
		}
	})
}
