package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
	"github.com/onlyonce-go/onlyonce/store/sqlstore/pgxpipeline"
)

// What a business transaction is protected by.
const (
	bareTransaction = "bare transaction"
	singleRun       = "onlyonce, single transaction"
	pipelinedRun    = "onlyonce, single transaction, pipelined"
	joinedRun       = "onlyonce, joined"
	leasedRun       = "onlyonce, leased"
	sqlReplay       = "onlyonce, replay"
)

// sqlRig is a server with the warehouse, and the same warehouse by way of a line that counts.
type sqlRig struct {
	ctx     context.Context //nolint:containedctx // that of the measurement
	direct  *warehouse
	counted *warehouse
	line    *sqltest.Proxy
	orders  atomic.Int64
	counts  map[string]int // statements of a call, by variant
	trips   map[string]int // its round trips
}

// sqlCalls measures a business transaction with PostgreSQL, which syncs.
func (c *config) sqlCalls(ctx context.Context) error {
	if !c.run.MatchString("PostgreSQL") && c.run.String() != "" && !c.matchesSQL() {
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

		if err := rig.measure(c, settings); err != nil { //nolint:contextcheck // a store bounds its look at the database by itself
			return err
		}

		if err := rig.measureFilled(c); err != nil { //nolint:contextcheck // as above
			return err
		}

		return rig.measureSweeper(c) //nolint:contextcheck // as above
	})
}

func (c *config) matchesSQL() bool {
	for _, title := range []string{sqlTitle(1), sqlTitle(16), c.filledTitle(), sweeperTitle} {
		for _, name := range []string{bareTransaction, singleRun, pipelinedRun, joinedRun, leasedRun, sqlReplay, "filled", "empty"} {
			if c.run.MatchString(title + "/" + name) {
				return true
			}
		}
	}

	return false
}

func sqlTitle(callers int) string {
	if callers == 1 {
		return "PostgreSQL, 1 caller"
	}

	return fmt.Sprintf("PostgreSQL, %d callers", callers)
}

func (r *sqlRig) measure(c *config, settings string) error {
	for _, size := range []struct{ callers, calls int }{{1, 300}, {16, 2_000}} {
		all, err := r.variants(r.direct, sqlstore.DefaultTable, "")
		if err != nil {
			return err
		}

		if err := r.count(); err != nil {
			return err
		}

		err = c.play(r.ctx, &contest{
			title: sqlTitle(size.callers),
			aim: settings + " A call inserts an order and updates the stock. Statements include BEGIN and COMMIT, and are counted on the line. " +
				"Aims: a single transaction takes 1.7 times the bare one at most with one caller, 2.2 times with 16, and two statements more; " +
				"pipelined 1.35 and 1.7 times, and no round trip more; a replay is one statement; leased commits twice more at most.",
			callers: size.callers, calls: size.calls,
			heads:    []string{"median latency", "of the bare one's", "calls/s", "statements", "more", "round trips"},
			variants: all,
			named:    r.columns,
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// columns compares with the bare transaction, which is first.
func (r *sqlRig) columns(name string, own, bare []sample) []string {
	latency := func(s sample) float64 { return s.latency }
	perSecond := func(s sample) float64 { return float64(time.Second) / s.nanos }

	return []string{
		fmt.Sprintf("%.0f µs", median(own, latency)/1000),
		ratio(medianOf(own, bare, latency, dividedBy)),
		fmt.Sprintf("%.0f", median(own, perSecond)),
		strconv.Itoa(r.counts[name]),
		fmt.Sprintf("%+d", r.counts[name]-r.counts[bareTransaction]),
		strconv.Itoa(r.trips[name]),
	}
}

// count counts the statements of one call of each variant, when its statements have been prepared.
func (r *sqlRig) count() error {
	all, err := r.variants(r.counted, sqlstore.DefaultTable, "")
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

		r.counts[v.name], r.trips[v.name] = len(r.line.Statements()), r.line.RoundTrips()
	}

	return nil
}

// variants are the ways to sell, with records in a table.
func (r *sqlRig) variants(w *warehouse, table, suffix string) ([]variant, error) {
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

	all := []variant{
		{name: bareTransaction + suffix, start: always(func(i int) error { return w.sellAlone(r.ctx, r.order(), i%items) })},
		{name: singleRun + suffix, start: always(r.protected(engines[singleRun], single))},
		{name: pipelinedRun + suffix, start: always(r.protected(engines[pipelinedRun], single))},
		{name: joinedRun + suffix, start: always(r.protected(engines[joinedRun], joined))},
		{name: leasedRun + suffix, start: always(r.protected(engines[leasedRun], leased))},
		{name: sqlReplay + suffix, start: func() (func(int) error, error) {
			key := r.order()
			first := r.do(engines[singleRun], key, 0, single, onlyonce.StatusExecuted)

			return func(i int) error { return r.do(engines[singleRun], key, i, single, onlyonce.StatusReplayed) }, first
		}},
	}

	for i := range all {
		all[i] = timed(all[i])
	}

	return all, nil
}

// timed adds the median of the calls' latencies: a call that waits for what else the machine does is no news.
func timed(v variant) variant {
	var (
		mu    sync.Mutex
		times []float64
	)

	begin := v.start
	v.start = func() (func(int) error, error) {
		call, err := begin()
		times = times[:0]

		return func(i int) error {
			since := time.Now()
			err := call(i)
			took := float64(time.Since(since))

			mu.Lock()
			defer mu.Unlock()

			times = append(times, took)

			return err
		}, err
	}
	v.finish = func(s *sample) error {
		s.latency = middle(times)

		return nil
	}

	return v
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

func (c *config) filledTitle() string {
	return fmt.Sprintf("PostgreSQL, %d records in the table", c.sqlRecords)
}

// measureFilled compares calls with a table that is full of records with those that have an empty one.
func (r *sqlRig) measureFilled(c *config) error {
	if c.sqlRecords == 0 {
		return nil
	}

	title := c.filledTitle()

	empty, err := r.variants(r.direct, "empty_records", ", empty table")
	if err != nil {
		return err
	}

	filled, err := r.variants(r.direct, "filled_records", ", filled table")
	if err != nil {
		return err
	}

	var all []variant

	for i := range empty {
		if i == 0 || i == 2 || i == 3 {
			continue // without records, and much like the others
		}

		filled[i].against = empty[i].name
		all = append(all, empty[i], filled[i])
	}

	return c.play(r.ctx, &contest{
		title:   title,
		aim:     "Aim: less than a fifth more than with an empty table.",
		prepare: func() error { return r.fill("filled_records", c.sqlRecords) },
		callers: 1, calls: 300,
		heads: []string{"median latency", "of the empty table's"},
		columns: func(own, base, _, _ []sample) []string {
			latency := func(s sample) float64 { return s.latency }

			return []string{fmt.Sprintf("%.0f µs", median(own, latency)/1000), ratio(medianOf(own, base, latency, dividedBy))}
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

const sweeperTitle = "PostgreSQL, the sweeper"

// measureSweeper lets records expire as fast as they can be made, and sweeps them.
func (r *sqlRig) measureSweeper(c *config) error {
	if !c.run.MatchString(sweeperTitle) {
		return nil
	}

	const (
		table   = "swept_records"
		callers = 16
		records = 20_000
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

// expire makes a record that has expired as soon as it is there.
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

	printTable(sweeperTitle, fmt.Sprintf("%d records that expire at once, by 16 callers, while one sweeper runs. Aim: it keeps up.", records),
		[]string{"", "records/s", "left when the last was made", "all swept after"},
		[][]string{{
			"claim and completion", fmt.Sprintf("%.0f", float64(time.Second)/got.nanos), strconv.Itoa(left),
			time.Since(began).Round(time.Millisecond).String(),
		}})

	return nil
}
