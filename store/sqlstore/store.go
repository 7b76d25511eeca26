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
	// DefaultTimeout is the default of [WithTimeout]: one second.
	DefaultTimeout = time.Second
	// DefaultSweepInterval is the default interval of [WithSweep]: 10 seconds.
	DefaultSweepInterval = 10 * time.Second
	// DefaultSweepBatch is the default batch of [WithSweep]: 500 records.
	DefaultSweepBatch = 500
)

// Store keeps records in a table. It is safe for concurrent use, and any number of processes may share the table. It needs no Close.
type Store struct {
	config

	db      *sql.DB
	dialect Dialect
	// at is the table, with the schema in which it was found.
	at  table
	sql *statements
	// turn is held during a write in a database with one writer, so that the writers of one process need not collide. It is nil for other
	// databases.
	turn chan struct{}
	// room bounds the open single transactions. Nil means no bound.
	room chan struct{}
	// save makes a savepoint, undo returns to it, and keep releases it. The savepoint shows whether the transaction has ended. In a single
	// transaction, save precedes the first statement that may end the transaction. The name is random, so that no handler uses it, and
	// constant, so that the statements are prepared once.
	save, undo, keep string
	// gate stops operations while the database does not answer. It is nil in SQLite.
	gate *gate
	// swept and sweptUnsettled are the positions of the sweeps of PostgreSQL.
	swept, sweptUnsettled *cursor
	// server describes the server of the dialect MySQL. It is nil until the settings are read.
	server *atomic.Pointer[mysqlServer]
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
	_ store.Lister    = (*Store)(nil)
	_ store.Forgetter = (*Store)(nil)
)

// New returns a store on the caller's database handle, which the store never closes. [Migrate] creates the table. New calls Check within 15
// s, returns its error, and drops its warnings: a program that logs them calls [Store.Check] itself. New also returns an error for a nil db
// and for invalid options. If WithTable names no schema, New finds the table, and the store uses its schema whatever search_path or current
// database a later connection has.
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: New: db is nil: pass the result of sql.Open")
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
			return nil, fmt.Errorf("sqlstore: New: finding the schema of table %s: %w", s.table, unpinned)
		}
	}

	return s, nil
}

// newStore returns a store without using the database.
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

// load fills in the statements of the store.
func (s *Store) load() {
	s.sql = loadStatements(s.dialect, s.at)
	if s.dialect != MySQL {
		return
	}

	for _, write := range []*string{&s.sql.insert, &s.sql.update, &s.sql.forget} {
		*write = boundedInMariaDB(s.timeout) + *write
	}
}

// home identifies the place of the records.
type home struct {
	db    *sql.DB
	table table
}

// Capabilities implements [store.Store]. It has no Direct, and a Notifier only after [Store.Notify]. Bounded requires a driver that obeys
// contexts, such as pgx, go-sql-driver/mysql or modernc.org/sqlite. Stores on one [sql.DB] and one table have the same Home.
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
