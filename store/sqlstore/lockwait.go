package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// MySQL and MariaDB bound the wait for a lock by innodb_lock_wait_timeout, in whole seconds. MariaDB can set it for one statement, MySQL
// only for a session. A wait that ends with its context costs the connection, and its session continues to wait.

// longestLockWait is the greatest innodb_lock_wait_timeout, in seconds: 34 years.
const longestLockWait = 1<<30 - 1

// longestExecution is the longest max_execution_time of MySQL, in milliseconds: 49 days.
const longestExecution = 1<<32 - 1

// mysqlServer is what a store knows about a server of the dialect MySQL.
type mysqlServer struct {
	maria    bool
	lockWait integer // of its sessions, in seconds
}

// readAfterWait reads the record of a key. It waits for another transaction that has written the record, in milliseconds, not in seconds.
func (s *Store) readAfterWait(ctx context.Context, key *store.Key, wait time.Duration) (store.Result, error) {
	var r row

	_, err := s.pool().query(ctx, readWaiting(s.sql.read, span(wait)), []any{key[:]}, r.answer(s.dialect)...)
	if s.dialect.timedOut(err) && ctx.Err() == nil {
		// On a machine that stood still, the time may have passed without another transaction.
		_, err = s.pool().query(ctx, s.sql.read+readNow, []any{key[:]}, r.answer(s.dialect)...)
	}

	if err != nil {
		return store.Result{}, err // wrapped by Begin
	}

	return s.change(ctx, s.pool(), key, reading{}, &r)
}

// readWaiting returns a statement that reads and waits for locks, at most ms milliseconds. The bound for MariaDB is in a comment for MySQL,
// and the bound for MySQL in a comment for MariaDB. Neither takes a parameter there.
func readWaiting(read string, ms int64) string {
	ms = min(max(ms, 1), longestExecution)
	bounded := fmt.Sprintf("SELECT /*+ MAX_EXECUTION_TIME(%d) */", ms)

	return fmt.Sprintf("/*M!100601 SET STATEMENT max_statement_time=%d.%03d FOR */ ", ms/1000, ms%1000) +
		strings.Replace(read, "SELECT", bounded, 1) + "\nLOCK IN SHARE MODE"
}

// boundedInMariaDB returns a prefix for a statement, which is a comment for MySQL. In MariaDB the statement then waits for locks no longer
// than an operation may take, and no longer than the session's own bound.
func boundedInMariaDB(timeout time.Duration) string {
	return fmt.Sprintf("/*M!100601 SET STATEMENT innodb_lock_wait_timeout=LEAST(@@innodb_lock_wait_timeout, %d) FOR */ ",
		lockWaitSeconds(timeout))
}

// lockWaitSeconds returns a wait as an innodb_lock_wait_timeout.
func lockWaitSeconds(wait time.Duration) int64 {
	return min(max((span(wait)+999)/1000, 1), longestLockWait)
}

// readNow makes a reading statement fail in place of waiting: the first part in MariaDB, the second part in MySQL.
const readNow = "\n/*M!100601 LOCK IN SHARE MODE NOWAIT */ /*!80001 FOR SHARE NOWAIT */"

// lockWait bounds the lock waits of the next statements. It returns the prefix for each of them in MariaDB, and a function that removes the
// bound in MySQL. If undo fails, the transaction has lost its connection.
func (s *Store) lockWait(ctx context.Context, at access, wait time.Duration) (prefix string, undo func() error, err error) {
	server, err := s.mysqlServer(ctx, at)
	if err != nil {
		return "", nil, err
	}

	nothing := func() error { return nil }
	seconds := lockWaitSeconds(wait)

	switch {
	case server.maria:
		return fmt.Sprintf("SET STATEMENT innodb_lock_wait_timeout=%d FOR ", seconds), nothing, nil
	case int64(server.lockWait) <= seconds:
		return "", nothing, nil
	}

	_, err = at.ExecContext(ctx, strings.ReplaceAll(s.sql.lockWait, "{seconds}", strconv.FormatInt(seconds, 10)))

	return "", func() error {
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		defer done()

		_, err := at.ExecContext(ctx, s.sql.lockWaitReset)

		return err
	}, err
}

// mysqlServer reads the settings on the connection in use, because the pool may have no other.
func (s *Store) mysqlServer(ctx context.Context, at access) (*mysqlServer, error) {
	if known := s.server.Load(); known != nil {
		return known, nil
	}

	var server mysqlServer

	if _, err := at.query(ctx, s.sql.server, nil, &server.maria, &server.lockWait); err != nil {
		return nil, err
	}

	s.server.Store(&server)

	return &server, nil
}
