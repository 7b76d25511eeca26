package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// Ways to make a business transaction.
const (
	bareTransaction = "bare transaction"
	singleRun       = "single transaction"
	pipelinedRun    = "single transaction, pipelined"
	joinedRun       = "joined transaction"
	leasedRun       = "leased"
	sqlReplay       = "replay"
)

// The tables, by the names for -run.
const (
	sqlOne    = "postgresql-1"
	sqlMany   = "postgresql-16"
	sqlFilled = "postgresql-filled"
	sqlSweep  = "postgresql-sweeper"
)

// Tables with records and without.
const (
	emptyTable  = "empty table"
	filledTable = "filled table"
)

// sqlRig is a server with the warehouse, and the same warehouse by way of a line that counts.
type sqlRig struct {
	ctx     context.Context //nolint:containedctx // the context of the measurement
	direct  *warehouse
	counted *warehouse
	line    *sqltest.Proxy
	orders  atomic.Int64
	counts  map[string]int // statements of a call, by variant
	trips   map[string]int // its round trips
}

// sqlCalls measures a business transaction with PostgreSQL, which syncs each commit.
func (c *config) sqlCalls(ctx context.Context) error {
	if !c.wantsSQL() {
		return nil
	}

	return onStage(ctx, func(s *stage) error {
		server := sqltest.Postgres(s, sqltest.WithArgs("-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"))
		rig := &sqlRig{ctx: ctx, line: sqltest.NewProxy(s, server.Database), counts: make(map[string]int), trips: make(map[string]int)}

		var err error
		if rig.direct, err = openWarehouse(s, server.Database); err != nil {
			return err
		}

		if rig.counted, err = openWarehouse(s, rig.line.Database); err != nil {
			return err
		}

		settings, err := rig.direct.settings(ctx)
		if err != nil {
			return err
		}

		if err := rig.measure(c, settings); err != nil { //nolint:contextcheck // a store bounds its check of the database itself
			return err
		}

		if err := rig.measureFilled(c); err != nil { //nolint:contextcheck // as above
			return err
		}

		return rig.measureSweeper(c) //nolint:contextcheck // as above
	})
}

// wantsSQL reports whether a server is needed.
func (c *config) wantsSQL() bool {
	calls := []string{bareTransaction, singleRun, pipelinedRun, joinedRun, leasedRun, sqlReplay}
	filled := make([]string, 0, 2*len(calls))

	for _, call := range calls {
		filled = append(filled, emptyTable+", "+call, filledTable+", "+call)
	}

	return c.wants(sqlOne, calls...) || c.wants(sqlMany, calls...) || c.wants(sqlFilled, filled...) || c.wants(sqlSweep, sweeper)
}

// measure compares ways to make a business transaction.
func (r *sqlRig) measure(c *config, settings string) error {
	all, err := r.variants(r.direct, sqlstore.DefaultTable)
	if err != nil {
		return err
	}

	contests := []contest{
		{
			id: sqlOne, callers: 1, calls: 300,
			question: "Records in PostgreSQL: how much longer does a business transaction take?",
			about: "One caller; aims: a single transaction takes 1.7 times as long as the bare one, pipelined 1.35 times and no round trip more, " +
				"a replay is one statement.",
		},
		{
			id: sqlMany, callers: 16, calls: 1_000,
			question: "Records in PostgreSQL: how much longer does a business transaction take on a busy database?",
			about:    "16 callers; aims: a single transaction takes 2.2 times as long as the bare one, pipelined 1.7 times.",
		},
	}
	for i := range contests {
		t := &contests[i]
		t.lost = func(of func(string) row) string {
			return fmt.Sprintf("A single transaction takes %s times as long as the bare one, pipelined %s times, a leased call %s times.",
				ratio(of(singleRun).times(bareTransaction, latency)), ratio(of(pipelinedRun).times(bareTransaction, latency)),
				ratio(of(leasedRun).times(bareTransaction, latency)))
		}
		t.about += " A call inserts an order and updates the stock. Statements include BEGIN and COMMIT, and are counted on the line. " + settings
		t.variants = timedAll(all, t.calls)
		t.prepare = r.count
		t.columns = []column{
			times("of the bare one's", bareTransaction, latency),
			{"statements more", func(v row) string { return fmt.Sprintf("%+d", r.counts[v.way]-r.counts[bareTransaction]) }},
			{"round trips more", func(v row) string { return fmt.Sprintf("%+d", r.trips[v.way]-r.trips[bareTransaction]) }},
			figure("median latency", wholeMicros, latency),
			figure("calls/s", count, perSecond),
		}

		if err := c.play(r.ctx, t); err != nil {
			return err
		}
	}

	return nil
}

// timedAll measures the time of the calls of all variants.
func timedAll(all []variant, calls int) []variant {
	variants := make([]variant, len(all))
	for i, v := range all {
		variants[i] = timed(v, calls)
	}

	return variants
}

// count counts the statements of one call of each variant, when its statements have been prepared.
func (r *sqlRig) count() error {
	all, err := r.variants(r.counted, sqlstore.DefaultTable)
	if err != nil {
		return err
	}

	for _, v := range all {
		call, err := v.start()
		if err != nil {
			return err
		}

		if err := call(0); err != nil {
			return err
		}

		r.line.Reset()

		if err := call(1); err != nil {
			return err
		}

		r.counts[v.way], r.trips[v.way] = len(r.line.Statements()), r.line.RoundTrips()
	}

	return nil
}

// variants are the ways to sell, with records in a table.
func (r *sqlRig) variants(w *warehouse, table string) ([]variant, error) {
	if err := sqlstore.Migrate(r.ctx, w.db, sqlstore.PostgreSQL, sqlstore.WithTable(table)); err != nil {
		return nil, err
	}

	s, err := sqlstore.New(w.db, sqlstore.PostgreSQL, sqlstore.WithTable(table), sqlstore.WithTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}

	together, err := sqlstore.New(w.db, sqlstore.PostgreSQL, sqlstore.WithTable(table), sqlstore.WithTimeout(10*time.Second),
		sqlstore.WithPipeline(pgxpipeline.Send))
	if err != nil {
		return nil, err
	}

	engines := make(map[string]*onlyonce.Engine)

	inOne := onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.SingleTransaction}

	for name, with := range map[string]struct {
		store  store.Store
		policy onlyonce.Policy
	}{
		singleRun:    {s, inOne},
		pipelinedRun: {together, inOne},
		joinedRun:    {s, onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: onlyonce.JoinedTransaction}},
		leasedRun:    {s, onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}},
	} {
		engines[name], err = onlyonce.New(with.store, onlyonce.WithPolicy(with.policy),
			onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: 10 * time.Second, SettleTimeout: 10 * time.Second}))
		if err != nil {
			return nil, err
		}
	}

	single := func(ctx context.Context, id string, item int) ([]byte, error) {
		return []byte(id), sell(ctx, sqlstore.Tx(ctx), id, item)
	}
	joined := func(ctx context.Context, id string, item int) ([]byte, error) {
		return sqlstore.InTx(ctx, w.db, nil, func(ctx context.Context, tx *sql.Tx) ([]byte, error) {
			return []byte(id), sell(ctx, tx, id, item)
		})
	}
	leased := func(ctx context.Context, id string, item int) ([]byte, error) {
		return []byte(id), w.sellAlone(ctx, id, item)
	}

	return []variant{
		{way: bareTransaction, start: always(func(i int) error { return w.sellAlone(r.ctx, r.order(), i%items) })},
		{way: singleRun, start: always(r.protected(engines[singleRun], single))},
		{way: pipelinedRun, start: always(r.protected(engines[pipelinedRun], single))},
		{way: joinedRun, start: always(r.protected(engines[joinedRun], joined))},
		{way: leasedRun, start: always(r.protected(engines[leasedRun], leased))},
		{way: sqlReplay, start: func() (func(int) error, error) {
			key := r.order()
			first := r.do(engines[singleRun], key, 0, single, onlyonce.StatusExecuted)

			return func(i int) error { return r.do(engines[singleRun], key, i, single, onlyonce.StatusReplayed) }, first
		}},
	}, nil
}

// order is a new name for an order.
func (r *sqlRig) order() string { return fmt.Sprintf("order-%012d", r.orders.Add(1)) }

type seller func(ctx context.Context, id string, item int) ([]byte, error)

func (r *sqlRig) protected(e *onlyonce.Engine, sells seller) func(i int) error {
	return func(i int) error { return r.do(e, r.order(), i, sells, onlyonce.StatusExecuted) }
}

func (r *sqlRig) do(e *onlyonce.Engine, key string, i int, sells seller, want onlyonce.Status) error {
	got, err := e.Do(r.ctx, onlyonce.Call{Scope: "bench", Method: "/shop.v1.Orders/Create", Key: key, Request: []byte(key)},
		func(ctx context.Context) ([]byte, error) { return sells(ctx, key, i%items) })
	if err == nil && got.Status != want {
		err = fmt.Errorf("the call was %s, not %s", got.Status, want)
	}

	return err
}

// measureFilled compares calls with a full table of records with calls on an empty table.
func (r *sqlRig) measureFilled(c *config) error {
	const calls = 300

	var all []variant

	for way, table := range map[string]string{emptyTable: "empty_records", filledTable: "filled_records"} {
		variants, err := r.variants(r.direct, table)
		if err != nil {
			return err
		}

		for _, v := range variants {
			if v.way == bareTransaction || v.way == pipelinedRun || v.way == joinedRun {
				continue // they use no records, or resemble the others
			}

			v.way, v.kind = way, v.way
			all = append(all, timed(v, calls))
		}
	}

	slices.SortStableFunc(all, func(a, b variant) int { return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.way, b.way)) })

	return c.play(r.ctx, &contest{
		id: sqlFilled, question: fmt.Sprintf("Records in PostgreSQL: do calls take longer around %s of them?", thousands(c.sqlRecords)),
		lost: func(of func(string) row) string {
			slower := func(kind string) string { return ratio(of(filledTable+", "+kind).times(emptyTable, latency)) }

			return fmt.Sprintf("A single transaction takes %s times as long as with an empty table, a leased call %s times, a replay %s times.",
				slower(singleRun), slower(leasedRun), slower(sqlReplay))
		},
		about:   "Aim: less than 1.2 times as long.",
		prepare: func() error { return r.fill("filled_records", c.sqlRecords) },
		callers: 1, calls: calls,
		columns: []column{
			times("of the empty table's", emptyTable, latency),
			figure("median latency", wholeMicros, latency),
		},
		variants: all,
	})
}

// fill makes records that were completed some time ago and have not expired.
func (r *sqlRig) fill(table string, n int) error {
	const batch = 100_000

	for from := 0; from < n; from += batch {
		_, err := r.direct.db.ExecContext(r.ctx, fmt.Sprintf(`INSERT INTO %s (
			id, revision, fence, attempts, first_start, last_start, ended_at, expires_at, lease_until, owner_until, retention, seal, outcome_seal,
			checksum, format, state, guarantee, flags, scheme, token, fingerprint, method, readable_key, outcome, sweep_at)
		SELECT sha256(n::text::bytea), 2, 1, 1, 1, 1, 1, 4102444800000 + n, 1, 1, 86400000, 1, 1, 1, 1, 4, 3, 0, 1,
			'0123456789abcdef', sha256('request'), '/shop.v1.Orders/Create', 'order-' || n, 'outcome', 4102444800000 + n
		FROM generate_series(%d::bigint, %d) AS n`, table, from, min(from+batch, n)-1))
		if err != nil {
			return err
		}
	}

	for _, statement := range []string{"VACUUM ANALYZE " + table, "CHECKPOINT"} {
		if _, err := r.direct.db.ExecContext(r.ctx, statement); err != nil {
			return err
		}
	}

	return nil
}

// sweeper is the row of its table.
const sweeper = "claim and completion"

// measureSweeper makes expired records as fast as it can, and sweeps them.
func (r *sqlRig) measureSweeper(c *config) error {
	if !c.wants(sqlSweep, sweeper) {
		return nil
	}

	const (
		table   = "swept_records"
		callers = 16
		records = 10_000
	)

	if err := sqlstore.Migrate(r.ctx, r.direct.db, sqlstore.PostgreSQL, sqlstore.WithTable(table)); err != nil {
		return err
	}

	s, err := sqlstore.New(r.direct.db, sqlstore.PostgreSQL, sqlstore.WithTable(table), sqlstore.WithTimeout(10*time.Second),
		sqlstore.WithSweep(100*time.Millisecond, sqlstore.DefaultSweepBatch))
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(r.ctx)
	swept := make(chan error, 1)

	go func() { swept <- s.Run(ctx) }()

	got, err := measure(callers, records, func(i int) error { return r.expire(s, i) })
	if err == nil {
		err = r.report(table, records, got)
	}

	cancel()

	return errors.Join(err, <-swept)
}

// expire makes a record that expires at once.
func (r *sqlRig) expire(s *sqlstore.Store, i int) error {
	claim := store.Claim{
		Guarantee: store.AtMostOnce, Lease: time.Minute, MaxRun: time.Minute, Retention: time.Millisecond, Method: "/shop.v1.Orders/Create",
	}
	binary.LittleEndian.PutUint32(claim.Key[:], uint32(i)) //nolint:gosec // a count
	claim.Token = store.Token{1}

	if res, err := s.Claim(r.ctx, claim); err != nil || !res.Applied {
		return fmt.Errorf("a claim: applied %t, %w", res.Applied, err)
	}

	_, err := s.Complete(r.ctx, store.Completion{Key: claim.Key, Token: claim.Token})

	return err
}

// report waits until the table is empty.
func (r *sqlRig) report(table string, records int, got sample) error {
	left, began := -1, time.Now()

	for n := -1; n != 0; {
		if err := r.direct.db.QueryRowContext(r.ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			return err
		}

		if left < 0 {
			left = n
		}
	}

	printTable("Records in PostgreSQL: does the sweeper keep up?",
		[]string{fmt.Sprintf("%d of %s records, which expire at once, were left when 16 callers had made the last.", left, thousands(records))},
		[]string{"", "left when the last was made", "all swept after", "records/s"},
		[][]string{{
			sweeper, strconv.Itoa(left), time.Since(began).Round(time.Millisecond).String(), fmt.Sprintf("%.0f", perSecond(got)),
		}})

	return nil
}
