package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"hash/crc32"

	"github.com/onlyonce-go/onlyonce/store"
)

// querier is what operations need of a database: [sql.DB], [sql.Conn] and [sql.Tx] have it.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// access is the way to the records: the pool, where every statement stands by itself, or one open transaction.
type access struct {
	querier

	// locking makes operations lock the record that they read, which needs a transaction.
	locking bool
	// turn is the store's, where statements take turns.
	turn chan struct{}
	// gate learns of the answers to writes.
	gate *gate
}

// pool is the way of leased records.
func (s *Store) pool() access { return access{querier: s.db, turn: s.turn, gate: s.gate} }

// within is the way of records in a transaction of somebody's. In SQLite it has to have begun with BEGIN IMMEDIATE.
func within(tx querier) access { return access{querier: tx, locking: true} }

// writing waits until the statement that follows may write, and returns what to call after it.
func (a access) writing(ctx context.Context) (done func(), err error) {
	if a.turn == nil {
		return func() {}, nil
	}

	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err() // wrapped by the operation
	}
}

// query sends a statement that answers with one row at most, and reports whether it did.
func (a access) query(ctx context.Context, query string, args []any, targets ...any) (bool, error) {
	rows, err := a.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err // wrapped by the operation
	}

	return scan(rows, targets...)
}

// read reads the clock and the record of a key.
func (s *Store) read(ctx context.Context, at access, key *store.Key) (r row, err error) {
	if at.locking {
		found, err := at.query(ctx, s.sql.readLocked, []any{key[:]}, r.answer(s.dialect)...)
		if found || err != nil {
			return r, err
		}
	}

	_, err = at.query(ctx, s.sql.read, []any{key[:]}, r.answer(s.dialect)...)

	return r, err
}

// write replaces a row that was read by a record, makes the first row, or deletes the row where there is no record any more. It
// reports whether it has: not if somebody was faster.
func (s *Store) write(ctx context.Context, at access, key *store.Key, old *row, rec *store.Record) (bool, error) {
	next := rowOf(key, rec, old.revision+1)

	query, args := s.sql.insert, s.arriving(append([]any{key[:]}, next.values()...), next.id, next.token, next.fingerprint)

	switch {
	case rec.State == store.Absent:
		query, args = s.sql.forget, []any{key[:], int64(old.revision), append([]byte{}, old.token...)} // nil would be NULL
	case old.exists():
		query, args = s.sql.update, append(next.values(), key[:], int64(old.revision), old.token)
	}

	done, err := at.writing(ctx)
	if err != nil {
		return false, err
	}
	defer done()

	res, err := at.ExecContext(ctx, query, args...)
	at.gate.wrote(err)

	if err != nil {
		return false, err // wrapped by the operation
	}

	n, err := res.RowsAffected()

	return n == 1, err
}

// arriving adds to the arguments of a statement that makes a record some of its bytes and their checksum. By these MySQL sees that they
// have arrived as they were sent: see checkBytes. What Check has found out about one connection need not hold for the next.
func (s *Store) arriving(args []any, parts ...[]byte) []any {
	if s.dialect != MySQL {
		return args
	}

	all := bytes.Join(parts, nil)

	return append(args, all, int64(crc32.ChecksumIEEE(all)))
}
