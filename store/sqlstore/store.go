package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

const (
	// DefaultTimeout bounds one operation where WithTimeout gives none: one second.
	DefaultTimeout = time.Second
	// DefaultSweepInterval is how often Run looks for expired records where WithSweep gives nothing: 10 seconds.
	DefaultSweepInterval = 10 * time.Second
	// DefaultSweepBatch is how many records Run deletes in one statement where WithSweep gives nothing.
	DefaultSweepBatch = 500
)

// Store keeps records in a table. It is safe for concurrent use and by any number of processes.
type Store struct {
	config

	db      *sql.DB
	dialect Dialect
	// at is where the table is: as it is configured, with the schema in which it was found.
	at  table
	sql *statements
	// turn is held while the store writes, where a database has one writer anyway: those of one process then need not
	// find out by trying. It is nil elsewhere.
	turn chan struct{}
	// room bounds single transactions; nil does not.
	room chan struct{}
	// save makes a savepoint, undo goes back to it, and keep releases it. The store finds out by it whether a transaction has ended. In a
	// single transaction, save goes before the first statement that may end the transaction. The name is random, so that no handler uses
	// it, and stays the same, so that the statements are prepared once.
	save, undo, keep string
	// gate keeps operations from a database that does not answer; nil does not.
	gate *gate
	// swept and sweptUnsettled are how far the sweeps of PostgreSQL have come.
	swept, sweptUnsettled *cursor
	// server describes the server of the dialect MySQL; nil until its settings are read.
	server *atomic.Pointer[mysqlServer]
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
	_ store.Lister    = (*Store)(nil)
	_ store.Forgetter = (*Store)(nil)
)

// New returns a store on a database handle of the caller's, which the store does not close. It runs Check, and fails where
// Check does. The table is made by [Migrate]. If WithTable names no schema, the store uses the one in which New finds the table, whatever
// search_path or current database a connection has later.
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: New needs a database, as from sql.Open")
	}

	s, err := newStore(db, d, opts)
	if err != nil {
		return nil, err
	}

	if s.checked {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()

		unpinned := s.pin(ctx)

		if _, err := s.Check(ctx); err != nil {
			return nil, err
		}

		if unpinned != nil {
			return nil, fmt.Errorf("sqlstore: the schema of table %s is not known: %w", s.table, unpinned)
		}
	}

	return s, nil
}

// newStore returns a store that has not looked at the database.
func newStore(db *sql.DB, d Dialect, opts []Option) (*Store, error) {
	cfg, err := configure(d, opts)
	if err != nil {
		return nil, err
	}

	s := &Store{config: cfg, db: db, dialect: d, at: cfg.table, server: new(atomic.Pointer[mysqlServer])}
	s.swept, s.sweptUnsettled = new(cursor), new(cursor)
	s.load()

	savepoint := "onlyonce_" + rand.Text()
	s.save, s.undo, s.keep = "SAVEPOINT "+savepoint, "ROLLBACK TO SAVEPOINT "+savepoint, "RELEASE SAVEPOINT "+savepoint

	if d == SQLite {
		s.turn = make(chan struct{}, 1)
	} else {
		s.gate = newGate(d, s.timeout)
	}

	if n := cmp.Or(s.most, db.Stats().MaxOpenConnections/2, min(db.Stats().MaxOpenConnections, 1)); n > 0 {
		s.room = make(chan struct{}, n)
	}

	return s, nil
}

// load makes the statements that the store sends.
func (s *Store) load() {
	s.sql = loadStatements(s.dialect, s.at)
	if s.dialect != MySQL {
		return
	}

	for _, write := range []*string{&s.sql.insert, &s.sql.update, &s.sql.forget} {
		*write = boundedInMariaDB(s.timeout) + *write
	}
}

// home is where records are kept. What is kept elsewhere is another home.
type home struct {
	db    *sql.DB
	table table
}

// Capabilities implements [store.Store]. Bounded holds for drivers that heed the contexts of their calls, as pgx,
// go-sql-driver/mysql and modernc.org/sqlite do. Stores on one [sql.DB] and one table share their Home.
func (s *Store) Capabilities() store.Capabilities {
	return store.Capabilities{
		Inspector:        s,
		Lister:           s,
		Forgetter:        s,
		Diagnoser:        s,
		Transactional:    s,
		Bounded:          true,
		UnknownRetention: s.unknownRetention,
		Home:             home{s.db, s.at},
	}
}
