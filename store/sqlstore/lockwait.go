package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// MySQL and MariaDB bound the wait for a lock by innodb_lock_wait_timeout, in whole seconds. MariaDB takes it for one statement, MySQL for
// a session. A wait that ends with its context costs the connection, and leaves a session behind that goes on waiting.

// longestLockWait is the longest innodb_lock_wait_timeout, in seconds: 34 years.
const longestLockWait = 1<<30 - 1

// longestExecution is the longest that a statement of MySQL may be given, in milliseconds: 49 days.
const longestExecution = 1<<32 - 1

// mysqlServer is what a store knows of the server of the dialect MySQL.
type mysqlServer struct {
	maria    bool
	lockWait integer // of its sessions, in seconds
}

// lookWaiting reads the record of a key, and waits for another transaction that has written it: for milliseconds, not for seconds.
func (s *Store) lookWaiting(ctx context.Context, key *store.Key, wait time.Duration) (store.Result, error) {
	var r row

	_, err := s.pool().query(ctx, readWaiting(s.sql.read, span(wait)), []any{key[:]}, r.answer(s.dialect)...)
	if s.dialect.timedOut(err) && ctx.Err() == nil {
		// The time may have passed without anybody in the way, on a machine that stood still.
		_, err = s.pool().query(ctx, s.sql.read+readNow, []any{key[:]}, r.answer(s.dialect)...)
	}

	if err != nil {
		return store.Result{}, err // wrapped by Begin
	}

	return s.change(ctx, s.pool(), key, look{}, &r)
}

// readWaiting is a statement that reads and waits for locks, for so many milliseconds. MariaDB gets the bound in what MySQL takes for a
// comment, and MySQL in what MariaDB does. Neither takes a parameter there.
func readWaiting(read string, ms int64) string {
	ms = min(max(ms, 1), longestExecution)
	bounded := fmt.Sprintf("SELECT /*+ MAX_EXECUTION_TIME(%d) */", ms)

	return fmt.Sprintf("/*M!100601 SET STATEMENT max_statement_time=%d.%03d FOR */ ", ms/1000, ms%1000) +
		strings.Replace(read, "SELECT", bounded, 1) + "\nLOCK IN SHARE MODE"
}

// boundedInMariaDB goes before a statement, which MariaDB lets wait for locks no longer than an operation may take, nor longer than the
// session's own bound. MySQL takes it for a comment.
func boundedInMariaDB(timeout time.Duration) string {
	return fmt.Sprintf("/*M!100601 SET STATEMENT innodb_lock_wait_timeout=LEAST(@@innodb_lock_wait_timeout, %d) FOR */ ",
		lockWaitSeconds(timeout))
}

// lockWaitSeconds is a time as an innodb_lock_wait_timeout.
func lockWaitSeconds(wait time.Duration) int64 {
	return min(max((span(wait)+999)/1000, 1), longestLockWait)
}

// readNow makes a statement that reads fail where it would have to wait: the first part in MariaDB, the second in MySQL.
const readNow = "\n/*M!100601 LOCK IN SHARE MODE NOWAIT */ /*!80001 FOR SHARE NOWAIT */"

// lockWait bounds how long the statements that follow wait for a lock. It returns what goes before each of them in MariaDB, and what undoes
// the bound in MySQL. A transaction that undo fails on has lost its connection.
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

// mysqlServer asks on the connection that is there: the pool may have no other.
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
