package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// silentMost is how many operations in a row must time out before the database counts as silent.
const silentMost = 4

const (
	// probeEvery is the shortest time between two probes of a silent database. Each may cost a connection.
	probeEvery = time.Second
	// longestProbe bounds a probe, which may meet a lock or a dead connection.
	longestProbe = time.Second
)

// errSilent is why an operation was not sent.
var errSilent = errors.New("the database does not answer, such as while the table is locked, " +
	"or no connection of the pool is free")

// gate stops operations while the database does not answer. Each operation that times out costs its connection: the driver opens another,
// and the server may continue the statement. So a table that is locked for seconds would take more and more sessions.
//
// While the database is silent, one operation at a time probes it, at most once in probeEvery. The others wait, and probe in their turn, as
// long as they have time. A probe names no record, so a locked record never shuts the gate.
type gate struct {
	dialect Dialect
	bound   time.Duration // of a probe
	silent  atomic.Int32  // timed-out operations in a row

	mu      sync.Mutex
	probing bool
	probed  time.Time     // when the last probe began
	changed chan struct{} // closed when the gate opens or a probe ends; nil if nobody waits
}

// newGate returns the gate of a store with this timeout.
func newGate(d Dialect, timeout time.Duration) *gate {
	return &gate{dialect: d, bound: min(timeout, longestProbe)}
}

// pass waits until the database answers. The error comes from the probe, or from a context that ended.
func (g *gate) pass(ctx context.Context, probe func(ctx context.Context) error) error {
	for g.shut() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", errSilent, err)
		}

		switch changed, wait, mine := g.join(); {
		case mine:
			// There may be time for another probe after one without an answer.
			if err := g.probe(ctx, probe); err == nil || ctx.Err() != nil || !errors.Is(err, errSilent) {
				return err
			}
		case changed != nil:
			await(ctx, changed, wait)
		}
	}

	return nil
}

// probe sends a probe. A refused or lost connection opens the gate too: the next operations fail at once, without a session. If the
// database answers, the operation itself finds any other problem.
func (g *gate) probe(ctx context.Context, send func(ctx context.Context) error) error {
	defer g.probeEnds() // also if the driver panics

	ctx, done := context.WithTimeout(ctx, g.bound)
	defer done()

	err := send(ctx)
	quiet := silence(ctx, err)

	if quiet == nil && !abandoned(ctx, err) && !g.waits(err) {
		g.open()

		return nil
	}

	return cmp.Or(quiet, err)
}

// probeEnds lets another operation probe.
func (g *gate) probeEnds() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.probing = false
	g.wake()
}

// shut reports whether operations must wait.
func (g *gate) shut() bool { return g != nil && g.silent.Load() >= silentMost }

// join decides whether the caller probes. Otherwise the caller waits until changed is closed or wait has passed, and calls join again. Wait
// is zero while a probe is under way. Changed is nil if there is nothing to wait for.
func (g *gate) join() (changed <-chan struct{}, wait time.Duration, mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if !g.shut() {
		return nil, 0, false
	}

	if !g.probing {
		wait = time.Until(g.probed.Add(probeEvery))
		if wait <= 0 {
			g.probing, g.probed = true, time.Now()

			return nil, 0, true
		}
	}

	if g.changed == nil {
		g.changed = make(chan struct{})
	}

	return g.changed, wait, false
}

// await waits until changed is closed, wait has passed, or ctx ends. A zero wait has no end.
func await(ctx context.Context, changed <-chan struct{}, wait time.Duration) {
	var over <-chan time.Time

	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()

		over = timer.C
	}

	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
}

// wake wakes the waiting operations. The caller holds the lock.
func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// note counts an operation that timed out. Two cases do not count: the caller has gone, or the server ended the operation by a bound of its
// own, which keeps the connection.
func (g *gate) note(ctx context.Context, err error) {
	if g != nil && (errors.Is(err, errSilent) || silence(ctx, err) != nil) {
		g.silent.Add(1)
	}
}

// wrote receives the result of each write. If the database answered, the silence ends. Answers to reads do not count, because some locks
// block only writes.
func (g *gate) wrote(err error) {
	if g != nil && (err == nil || reported(err)) && !g.waits(err) {
		g.open()
	}
}

// waits reports whether the server ended a wait by a bound of its own. Other waits may continue.
func (g *gate) waits(err error) bool { return g.dialect.blocked(err) || g.dialect.timedOut(err) }

// open ends the silence.
func (g *gate) open() {
	if g.silent.Load() == 0 {
		return
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	g.silent.Store(0)
	g.wake()
}

// silence returns the error of an operation that timed out, or nil.
func silence(ctx context.Context, err error) error {
	if err == nil || reported(err) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}

	return fmt.Errorf("%w: %w", errSilent, context.DeadlineExceeded)
}

// abandoned reports whether an operation ended without an answer because its caller has gone.
func abandoned(ctx context.Context, err error) bool {
	return err != nil && !reported(err) && errors.Is(ctx.Err(), context.Canceled)
}

// probe sends a statement that uses the table as a write does, and finds no record.
func (s *Store) probe(ctx context.Context) error {
	s.dropDead(ctx)

	at := s.pool()

	_, err := at.ExecContext(ctx, s.sql.forget, make([]byte, 32), int64(0), []byte{})

	return err
}

// dropDead drops the idle connections of the pool that do not answer, within half of the time of ctx. Connections can die together, such as
// in a failover, and each would cost an operation or a probe all its time. Connections answer while a table is locked.
func (s *Store) dropDead(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, untilDeadline(ctx)/2)
	defer done()

	var all, pinged sync.WaitGroup

	idle := s.db.Stats().Idle
	pinged.Add(idle)

	for range idle {
		all.Go(func() {
			conn, err := s.db.Conn(ctx)
			if err == nil && conn.PingContext(ctx) != nil {
				drop(conn)
			}

			pinged.Done()

			if err == nil {
				pinged.Wait() // otherwise the pool would give this connection to the next ping
				_ = conn.Close()
			}
		})
	}

	all.Wait()
}

// drop makes the pool close a connection.
func drop(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}
