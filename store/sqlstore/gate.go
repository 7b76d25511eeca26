package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// silentMost is how many operations in a row may run out of time until the database counts as silent.
const silentMost = 4

// errSilent says why an operation was not sent.
var errSilent = errors.New("the database does not answer, as when somebody has locked the table")

// gate keeps operations from a database that does not answer. Each that runs out of time costs its connection: the driver closes it and
// opens another, and the server may go on with the statement, so that a table which is locked for some seconds would take more and more
// sessions. While the database is silent, one harmless statement at a time finds out whether it answers again. The others wait for that,
// as long as they have time. It is a statement without a record, so that one record which is locked never shuts the gate.
type gate struct {
	silent atomic.Int32 // operations in a row without an answer

	mu      sync.Mutex
	probing bool
	opened  chan struct{} // closed when the database answers again; nil unless it is silent
}

// pass waits until the database answers. Its error is that of a context that has ended before.
func (g *gate) pass(ctx context.Context, probe func(ctx context.Context) error) error {
	if g == nil || g.silent.Load() < silentMost {
		return nil
	}

	opened, mine := g.join()

	switch {
	case opened == nil:
		return nil
	case mine:
		err := probe(ctx)
		g.probed(ctx, err)

		return silence(ctx, err)
	}

	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errSilent, ctx.Err())
	}
}

// join returns what is closed when the database answers again, and whether the caller has to find out. It is nil where it answers.
func (g *gate) join() (opened <-chan struct{}, mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.silent.Load() < silentMost {
		return nil, false
	}

	if g.opened == nil {
		g.opened = make(chan struct{})
	}

	mine = !g.probing
	g.probing = true

	return g.opened, mine
}

// probed is called with what a probe has found out.
func (g *gate) probed(ctx context.Context, err error) {
	g.mu.Lock()
	g.probing = false
	g.mu.Unlock()

	g.note(ctx, err)
}

// note is called with the error of each operation that was sent.
func (g *gate) note(ctx context.Context, err error) {
	switch {
	case g == nil:
	case silence(ctx, err) != nil:
		g.silent.Add(1)
	case g.silent.Load() == 0:
	default:
		g.mu.Lock()
		defer g.mu.Unlock()

		g.silent.Store(0)

		if g.opened != nil {
			close(g.opened)
			g.opened = nil
		}
	}
}

// note is called with the error of each operation that was sent. A wait for a lock that the server has ended is no answer of the table's:
// it keeps its connection, and others may wait on.
func (s *Store) note(ctx context.Context, err error) {
	if !s.dialect.blocked(err) {
		s.gate.note(ctx, err)
	}
}

// silence is the error of an operation that has had no answer in time, or nil.
func silence(ctx context.Context, err error) error {
	if err == nil || reported(err) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}

	return fmt.Errorf("%w: %w", errSilent, context.DeadlineExceeded)
}

// probe sends a statement that needs the table as a write does, and finds no record.
func (s *Store) probe(ctx context.Context) error {
	at := s.pool()

	_, err := at.ExecContext(ctx, s.sql.forget, make([]byte, 32), int64(0), []byte{})

	return err
}
