package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// The operations that wait for no other transaction.
const (
	lookup = "lookup"
	list   = "list"
)

const (
	// resends is how often an operation is sent again after a lost connection. It may have taken effect: a repeat is recognised.
	resends    = 2
	pauseFirst = time.Millisecond
	pauseMost  = 32 * time.Millisecond
)

// do runs an operation on the pool until the database answers or its time ends. An operation that the database has undone is tried again.
func (s *Store) do(ctx context.Context, name string, run func(ctx context.Context, at access) error) error {
	// The engine's context has a deadline without a timer: see Bounded in store.Capabilities.
	deadline := time.Now().Add(s.timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}

	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()

	lost, busy := 0, false

	for try := 0; ; try++ {
		err := s.attempt(ctx, run)

		// Remembered, because MySQL may get another try and not answer it in time.
		busy = busy || s.dialect.blocked(err) || s.dialect.timedOut(err) && name != lookup && name != list

		switch {
		case err == nil:
			return nil
		case unfit(err), errors.Is(err, errTooLong):
			return fmt.Errorf("sqlstore: %s: %w", name, err)
		case s.undone(err):
		case lost < resends && s.refresh(ctx, err):
			lost++
		case full(err) && lost == 0:
			return fmt.Errorf("sqlstore: %s: %w: %w", name, store.ErrFull, err)
		case reported(err) && !goingDown(err) || lost == resends:
			return failure(name, err, deadline, busy)
		default:
			lost++
		}

		if !pause(ctx, try) {
			return failure(name, err, deadline, busy)
		}

		s.resent(ctx, store.Operation(name), err)
	}
}

// attempt runs an operation once, unless its time has ended or the database does not answer.
func (s *Store) attempt(ctx context.Context, run func(ctx context.Context, at access) error) error {
	if err := ctx.Err(); err != nil {
		return err // wrapped by do
	}

	if err := s.passGate(ctx); err != nil {
		return err
	}

	err := run(ctx, s.pool())
	s.gate.note(ctx, err)

	return err
}

// failure returns an error after which nobody knows whether the operation took effect. It matches store.ErrBusy if the database ended the
// wait for another transaction.
func failure(name string, err error, deadline time.Time, busy bool) error {
	if busy {
		err = fmt.Errorf("%w: %w", store.ErrBusy, err)
	}

	if !errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(deadline) {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // the driver's error may not match DeadlineExceeded
	}

	return fmt.Errorf("sqlstore: %s: %w", name, err)
}

// undone reports whether the database has undone the statement, so that it may be tried again.
func (s *Store) undone(err error) bool {
	if errors.Is(err, errRaced) {
		return true
	}

	if s.retryable != nil {
		return s.retryable(err)
	}

	return s.dialect.undone(err)
}

// pause waits before a try, longer before later ones. It returns false if ctx ends before.
func pause(ctx context.Context, try int) bool {
	most := min(pauseFirst<<min(try, 10), pauseMost)

	timer := time.NewTimer(rand.N(most) + most/4) //nolint:gosec // jitter needs no secrecy
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
