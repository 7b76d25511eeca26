package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"hash/crc32"

	"github.com/onlyonce-go/onlyonce/store"
)

// querier is the part of a database that operations need. [sql.DB], [sql.Conn] and [sql.Tx] implement it.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// access is a way to the records: the pool, where every statement is its own transaction, or one open transaction.
type access struct {
	querier

	// locking means that reads lock the record. This needs a transaction.
	locking bool
	// turn is the store's turn to write, see Store.
	turn chan struct{}
	// gate receives the results of writes.
	gate *gate
}

// pool returns the access of leased records.
func (s *Store) pool() access { return access{querier: s.db, turn: s.turn, gate: s.gate} }

// within returns the access inside a transaction. In SQLite the transaction must have begun with BEGIN IMMEDIATE.
func within(tx querier) access { return access{querier: tx, locking: true} }

// writing waits until the next statement may write. The caller calls done after the statement.
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

// query sends a statement that returns at most one row, and reports whether it returned one.
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

// write replaces the row that was read. It inserts a row if there was none, and deletes the row if the record is absent. It returns false
// if another write was faster.
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

// arriving adds bytes of a record and their checksum to the arguments of a statement that creates it. With them MySQL verifies that the
// bytes arrived unchanged: see checkBytes. Check knows only its own connection, and the next one may differ.
func (s *Store) arriving(args []any, parts ...[]byte) []any {
	if s.dialect != MySQL {
		return args
	}

	all := bytes.Join(parts, nil)

	return append(args, all, int64(crc32.ChecksumIEEE(all)))
}
