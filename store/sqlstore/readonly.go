package sqlstore

import (
	"context"
	"slices"
)

// A server that was a primary, and takes no writes any more, keeps its connections. The address of the database leads to another server by
// then, so that new connections work.

const (
	stateReadOnly = "25006"

	mysqlReadOnlyOption      = 1290
	mysqlReadOnlyTransaction = 1792
	mysqlReadOnlyMode        = 1836
)

// readOnly recognises the refusal of a write by a server that takes none.
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

// refresh drops the idle connections of the pool after a server has refused to write, and leaves them alone after any other error. It
// reports whether it has dropped them: what was refused may be sent again.
func (s *Store) refresh(ctx context.Context, err error) bool {
	if !s.dialect.readOnly(err) {
		return false
	}

	for range s.db.Stats().Idle {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return true // there is no time, or the new server does not answer yet
		}

		drop(conn)

		_ = conn.Close()
	}

	return true
}
