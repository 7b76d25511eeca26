package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// longestText is the greatest length of method and readable key, in bytes.
const longestText = 1 << 16

// errRaced means that the record changed between every read and write. The operation is tried again.
var errRaced = errors.New("the record changed during every try")

// errTooLong means that an operation cannot be stored, however often it is tried.
var errTooLong = errors.New("too long")

// Claim implements [store.Store]. The error matches store.ErrFull if the database reports that it is out of space. Claim also returns an
// error if Method or ReadableKey exceeds 65536 bytes.
func (s *Store) Claim(ctx context.Context, op store.Claim) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationClaim, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "claim", func(ctx context.Context, at access) (err error) {
		res, err = s.claim(ctx, at, &op)

		return err
	})
	giveReceipt(&op.Key, &res)

	return res, err
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, op store.Renewal) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationRenew, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "renew", func(ctx context.Context, at access) (err error) {
		res, err = s.renew(ctx, at, &op)

		return err
	})
	giveReceipt(&op.Key, &res)

	return res, err
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, op store.Completion) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationComplete, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "complete", func(ctx context.Context, at access) (err error) {
		res, err = s.complete(ctx, at, &op)

		return err
	})
	s.announce(ctx, &op.Key, &res, err)

	return res, err
}

// Release implements [store.Store]. The error matches store.ErrFull if the database reports that it is out of space.
func (s *Store) Release(ctx context.Context, op store.Release) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationRelease, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "release", func(ctx context.Context, at access) (err error) {
		res, err = s.release(ctx, at, &op)

		return err
	})
	s.announce(ctx, &op.Claim.Key, &res, err)

	return res, err
}

// Hold implements [store.Store].
func (s *Store) Hold(ctx context.Context, op store.Hold) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationHold, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "hold", func(ctx context.Context, at access) (err error) {
		res, err = s.hold(ctx, at, &op)

		return err
	})
	s.announce(ctx, &op.Key, &res, err)

	return res, err
}

// Lookup implements [store.Inspector].
func (s *Store) Lookup(ctx context.Context, key store.Key) (res store.Result, err error) {
	defer s.observed.Answered(ctx, store.OperationLookup, s.observed.Clock(), &err)

	err = s.do(ctx, lookup, func(ctx context.Context, at access) (err error) {
		res, err = s.lookup(ctx, at, &key)

		return err
	})

	return res, err
}

// Resolve implements [store.Inspector].
func (s *Store) Resolve(ctx context.Context, op store.Resolution) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationResolve, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "resolve", func(ctx context.Context, at access) (err error) {
		res, err = s.resolve(ctx, at, &op)

		return err
	})
	s.announce(ctx, &op.Key, &res, err)

	return res, err
}

// Forget implements [store.Forgetter].
func (s *Store) Forget(ctx context.Context, op store.Forgetting) (res store.Result, err error) {
	defer s.observed.Ended(ctx, store.OperationForget, s.observed.Clock(), &res, &err)

	err = s.do(ctx, "forget", func(ctx context.Context, at access) (err error) {
		res, err = s.forget(ctx, at, &op)

		return err
	})
	s.announce(ctx, &op.Key, &res, err)

	return res, err
}

func (s *Store) claim(ctx context.Context, at access, op *store.Claim) (store.Result, error) {
	if err := bounded(op); err != nil {
		return store.Result{}, err
	}

	if s.sql.claim == "" || op.Fence != 0 {
		return s.change(ctx, at, &op.Key, op, nil)
	}

	return s.claimFirst(ctx, at, op)
}

func (s *Store) renew(ctx context.Context, at access, op *store.Renewal) (store.Result, error) {
	if s.sql.renew == "" {
		return s.change(ctx, at, &op.Key, op, nil)
	}

	return s.renewAlive(ctx, at, op)
}

func (s *Store) complete(ctx context.Context, at access, op *store.Completion) (store.Result, error) {
	if s.sql.complete == "" {
		return s.change(ctx, at, &op.Key, op, nil)
	}

	return s.completeRunning(ctx, at, op)
}

func (s *Store) release(ctx context.Context, at access, op *store.Release) (store.Result, error) {
	if err := bounded(&op.Claim); err != nil {
		return store.Result{}, err
	}

	return s.change(ctx, at, &op.Claim.Key, op, nil)
}

func (s *Store) hold(ctx context.Context, at access, op *store.Hold) (store.Result, error) {
	return s.change(ctx, at, &op.Key, op, nil)
}

func (s *Store) resolve(ctx context.Context, at access, op *store.Resolution) (store.Result, error) {
	return s.change(ctx, at, &op.Key, op, nil)
}

// forget removes a record. A record that cannot be read shows no fence, so only Force removes it.
func (s *Store) forget(ctx context.Context, at access, op *store.Forgetting) (store.Result, error) {
	for range tries {
		res, err := s.change(ctx, at, &op.Key, op, nil)
		if !op.Force || !unfit(err) {
			return res, err
		}

		var old row
		if old, err = s.read(ctx, at, &op.Key); err != nil {
			return store.Result{}, err
		}

		if _, err := old.record(&op.Key); !unfit(err) {
			continue // another operation has removed it
		}

		removed, err := s.write(ctx, at, &op.Key, &old, &store.Record{})
		if err != nil {
			return store.Result{}, err
		}

		if removed {
			return store.Result{Applied: true, Now: old.time()}, nil
		}
	}

	return store.Result{}, errRaced
}

// unfit reports whether a record exists and cannot be read.
func unfit(err error) bool {
	return errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNewer)
}

func (s *Store) lookup(ctx context.Context, at access, key *store.Key) (store.Result, error) {
	return s.change(ctx, at, key, reading{}, nil)
}

// bounded returns an error if the texts of a claim are too long.
func bounded(op *store.Claim) error {
	if len(op.Method) > longestText || len(op.ReadableKey) > longestText {
		return fmt.Errorf("a method of %d bytes or a key of %d bytes: keep each within %d bytes: %w",
			len(op.Method), len(op.ReadableKey), longestText, errTooLong)
	}

	return nil
}

// operation is an operation of package store on a record.
type operation interface {
	// ApplyTo changes rec to the record after the operation.
	ApplyTo(rec *store.Record, now time.Time) (isApplied, isChanged bool)
}

// reading is the operation that changes nothing.
type reading struct{}

// ApplyTo implements operation.
func (reading) ApplyTo(rec *store.Record, now time.Time) (isApplied, isChanged bool) {
	if rec.Expired(now) {
		*rec = store.Record{}
	}

	return false, false
}

// tries is how often an operation reads a record that changes before the write.
const tries = 4

// change performs an operation: it reads the record and the clock, decides by the transition table at that time, and writes if the record
// has not changed since. First is a row that was already read, or nil.
func (s *Store) change(ctx context.Context, at access, key *store.Key, op operation, first *row) (store.Result, error) {
	for range tries {
		var (
			old row
			err error
		)

		if first != nil {
			old, first = *first, nil
		} else if old, err = s.read(ctx, at, key); err != nil {
			return store.Result{}, err
		}

		rec, err := old.record(key)
		if err != nil {
			return store.Result{}, err
		}

		res := store.Result{Record: rec, Now: old.time()}

		var isChanged bool

		res.Applied, isChanged = op.ApplyTo(&res.Record, res.Now)
		if !isChanged {
			return res, nil
		}

		round(&res.Record)

		switch written, err := s.write(ctx, at, key, &old, &res.Record); {
		case err != nil:
			return store.Result{}, err
		case written:
			return res, nil
		}
	}

	return store.Result{}, errRaced
}
