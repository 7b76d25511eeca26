package sqlstore

import (
	"context"
	"slices"
)

// A former primary that refuses writes keeps its connections. The address of the database leads to another server by then, so new
// connections work.

const (
	stateReadOnly = "25006"

	mysqlReadOnlyOption      = 1290
	mysqlReadOnlyTransaction = 1792
	mysqlReadOnlyMode        = 1836
)

// readOnly reports whether a server refused a write because it accepts none.
func (d Dialect) readOnly(err error) bool {
	switch d {
	case PostgreSQL:
		return sqlState(err) == stateReadOnly
	case MySQL:
		return slices.Contains([]int64{mysqlReadOnlyOption, mysqlReadOnlyTransaction, mysqlReadOnlyMode}, mysqlNumber(err))
	case SQLite:
		return false // its address is a file
	default:
		return false
	}
}

// refresh drops the idle connections of the pool if err is such a refusal. It returns true if it did: the operation may be sent again.
func (s *Store) refresh(ctx context.Context, err error) bool {
	if !s.dialect.readOnly(err) {
		return false
	}

	for range s.db.Stats().Idle {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return true // no time left, or the new server does not answer yet
		}

		drop(conn)

		_ = conn.Close()
	}

	return true
}
