package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// WithObserver reports what the store does: operations, resends, waits, sweeps, refused writes, and the connection of a [Listener]. The
// default is nil: no observer, nothing is measured, and Run logs its failures to [slog.Default].
//   - There is no EventBatch, because operations share no round trips, and no EventRepair, because the database keeps the indexes.
//   - A wait for a connection of the pool is part of an operation. [sql.DB.Stats] counts these waits.
//   - Statements of handlers are not reported.
func WithObserver(observer store.Observer) Option {
	return func(c *config) { c.observed.Observer = observer }
}

// errNoRoom is the end of a wait for room for a transaction. The database refused nothing.
var errNoRoom = fmt.Errorf("no room for a transaction: %w", store.ErrFull)

// isRefused reports whether err is the database's refusal to write.
func (d Dialect) isRefused(err error) bool {
	return errors.Is(err, store.ErrFull) && !errors.Is(err, errNoRoom) || d.readOnly(err)
}

// resent reports that an operation is sent again after err. One reason is a server that no longer accepts writes.
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

// waited reports a wait. Began is zero if there is no observer.
func (s *Store) waited(ctx context.Context, operation store.Operation, began time.Time) {
	if !began.IsZero() {
		s.observed.Waited(ctx, operation, time.Since(began))
	}
}
