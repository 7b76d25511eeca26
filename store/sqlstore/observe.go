package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports to an observer what the store does: operations, what is sent again, waits, sweeps, refused writes, and the
// connection of a [Listener]. Operations share no round trips, so there is no EventBatch, and there is no EventRepair, because indexes are
// the database's. A wait for a connection of the pool is part of an operation, and [sql.DB.Stats] counts it. The store reports nothing of
// handlers' statements. Nil means no observer: nothing is measured then, and Run logs its failures.
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.observed.Observer = observer }
}

// errNoRoom is the end of a wait for room for a transaction. The database has refused nothing.
var errNoRoom = fmt.Errorf("no room for a transaction: %w", store.ErrFull)

// isRefused recognises the refusal of a database to write.
func (d Dialect) isRefused(err error) bool {
	return errors.Is(err, store.ErrFull) && !errors.Is(err, errNoRoom) || d.readOnly(err)
}

// resent reports that an operation is sent once more, and why. A server that takes no writes any more is one reason.
func (s *Store) resent(ctx context.Context, operation store.Operation, err error) {
	if s.dialect.readOnly(err) {
		s.observed.Refused(ctx, operation, err)
	}

	s.observed.Resent(ctx, operation, err)
}

// passGate waits until the database answers.
func (s *Store) passGate(ctx context.Context) error {
	if !s.gate.shut() {
		return nil
	}

	defer s.waited(ctx, "", s.observed.Clock())

	ctx, done := s.heedingDeadline(ctx)
	defer done()

	return s.gate.pass(ctx, s.probe)
}

// waited reports a wait that began at a time, which is zero if there is no observer.
func (s *Store) waited(ctx context.Context, operation store.Operation, began time.Time) {
	if !began.IsZero() {
		s.observed.Waited(ctx, operation, time.Since(began))
	}
}
