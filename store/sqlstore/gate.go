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

// silentMost is how many operations in a row may run out of time until the database counts as silent.
const silentMost = 4

const (
	// probeEvery is the shortest time between two probes of a silent database: each may cost a connection.
	probeEvery = time.Second
	// longestProbe bounds a probe, which may meet a lock or a connection that is dead.
	longestProbe = time.Second
)

// errSilent says why an operation was not sent.
var errSilent = errors.New("the database does not answer, as when somebody has locked the table, " +
	"or no connection of the pool is free")

// gate keeps operations from a database that does not answer. Each operation that runs out of time costs its connection: the driver closes
// the connection and opens another, and the server may go on with the statement. So a table that is locked for some seconds would take more
// and more sessions. While the database is silent, one operation at a time probes whether it answers again, at most one in probeEvery. The
// others wait, and probe in their turn, as long as they have time. A probe names no record, so that one locked record never shuts the gate.
type gate struct {
	dialect Dialect
	bound   time.Duration // of a probe
	silent  atomic.Int32  // operations in a row without an answer

	mu      sync.Mutex
	probing bool
	probed  time.Time     // when the last probe began
	changed chan struct{} // closed when the gate opens and when a probe has ended; nil if nobody waits
}

// newGate is the gate of a store whose operations have so much time.
func newGate(d Dialect, timeout time.Duration) *gate {
	return &gate{dialect: d, bound: min(timeout, longestProbe)}
}

// pass waits until the database answers. Its error is that of the probe, or of a context that has ended.
func (g *gate) pass(ctx context.Context, probe func(ctx context.Context) error) error {
	for g.shut() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", errSilent, err)
		}

		switch changed, wait, mine := g.join(); {
		case mine:
			// A probe without an answer may have time for another.
			if err := g.probe(ctx, probe); err == nil || ctx.Err() != nil || !errors.Is(err, errSilent) {
				return err
			}
		case changed != nil:
			await(ctx, changed, wait)
		}
	}

	return nil
}

// probe sends a probe. If the database answers, the operation itself finds out whether anything else is wrong. A connection that is refused
// or lost opens the gate, too: the operations that follow fail at once, without a session.
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

// probeEnds lets somebody else probe.
func (g *gate) probeEnds() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.probing = false
	g.wake()
}

// shut reports whether operations have to wait.
func (g *gate) shut() bool { return g != nil && g.silent.Load() >= silentMost }

// join decides whether the caller probes. If not, the caller waits until something changes, and looks again after wait, which is zero while
// a probe is under way. Changed is nil if there is nothing to wait for.
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

// await returns when something has changed, when the wait is over, which has no end if it is zero, or when ctx ends.
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

// wake lets those who wait look again. The caller holds the lock.
func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// note counts an operation that was sent and had no answer in time. An operation whose caller has gone says nothing about the database.
// Neither does one that the server has ended because of a bound of its own: it keeps its connection.
func (g *gate) note(ctx context.Context, err error) {
	if g != nil && (errors.Is(err, errSilent) || silence(ctx, err) != nil) {
		g.silent.Add(1)
	}
}

// wrote is called with the error of each write that was sent, and ends the silence if the database has answered. An answered read does
// not: some locks let reads pass, and writes wait.
func (g *gate) wrote(err error) {
	if g != nil && (err == nil || reported(err)) && !g.waits(err) {
		g.open()
	}
}

// waits recognises a wait that the server has ended because of a bound of its own. Others may wait on.
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

// silence is the error of an operation that has had no answer in time, or nil.
func silence(ctx context.Context, err error) error {
	if err == nil || reported(err) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}

	return fmt.Errorf("%w: %w", errSilent, context.DeadlineExceeded)
}

// abandoned reports whether an operation has ended without an answer because its caller has gone.
func abandoned(ctx context.Context, err error) bool {
	return err != nil && !reported(err) && errors.Is(ctx.Err(), context.Canceled)
}

// probe sends a statement that needs the table as a write does, and finds no record.
func (s *Store) probe(ctx context.Context) error {
	s.dropDead(ctx)

	at := s.pool()

	_, err := at.ExecContext(ctx, s.sql.forget, make([]byte, 32), int64(0), []byte{})

	return err
}

// dropDead drops the idle connections of the pool that do not answer, within half of the time that ctx has. Connections can die in silence
// together, such as in a failover. Without this each of them would cost an operation, or a probe, all of its time. A locked table does not
// keep a connection from answering.
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
				pinged.Wait() // the pool would give this connection to the next ping
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
