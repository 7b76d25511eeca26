// Package sqlstore keeps onlyonce records in a table of PostgreSQL, MySQL, MariaDB or SQLite through database/sql: one row per key, changed
// by atomic statements, decided on the database's clock.
//
//	db, err := sql.Open("pgx", "postgres://…")
//	…
//	err = sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL)
//	…
//	records, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	…
//	engine, err := onlyonce.New(records)
//	…
//	go func() {
//		if err := records.Run(ctx); err != nil { // deletes expired records until ctx ends
//			slog.Error("expired records stay", "error", err)
//		}
//	}()
//
// The package links no driver: the program imports one. docs/databases.md is for database administrators: costs, queries, vacuum, locks,
// partitions.
//
// # The row
//
// A record is one row. The storage key is the primary key. The fields of [store.Record] have their own columns, times are milliseconds
// since 1970, and the outcome is bytes. Method and readable key are printable ASCII text, with everything else as %XX. [Schema] prints the
// whole table.
//
// Three checksums protect a row. One binds the request to the key, one binds the outcome to key, state and owner, and one binds all numbers
// to both. A row that was cut, changed or moved is [store.ErrUnreadable], never an absent record. Nothing runs, and no sweep deletes it. A
// row in a newer format is [store.ErrNewer].
//
// An operation reads the row and the clock in one statement and decides by the transition table of package store. A second statement writes
// if the row still has the same revision and owner. Otherwise the operation starts again. In PostgreSQL the first claim of a key, a
// renewal, an owner's completion and a replay take one statement. In SQLite an owner's completion takes one. The token recognises whatever
// was sent twice.
//
// Renewals change no indexed column, nor do completions of single transactions, so PostgreSQL keeps the new version within the page. The
// completion of a leased run moves the row from the index of unsettled records, which stays small, to the index of expiries.
//
// # Guarantees and limits
//
//   - The database keeps what it acknowledged, unless its settings trade durability for speed. [Store.Check] warns of such settings.
//   - A record keeps the retention of its owner's claim. An expired record is absent at once, and [Store.Run] deletes it. Run survives
//     outages of the database.
//   - Unsettled records stay for ever, unless [WithUnknownRetention] limits their life. [Store.ListUnknown] and [Store.ListRunning] find
//     them by an index. [Store.Forget] removes any record. With Force it also removes one that cannot be read.
//   - The note of a claim is in the column of the outcome and costs no statement. A single transaction writes no note, because nobody sees
//     its record before it is completed.
//   - Leases and retentions follow the wall clock of the database's machine, not the clocks of programs. A step forward ends leases early.
//     Outcomes then become unknown under AtMostOnce, and under AtLeastOnce a run may be taken over while its owner works. A step back
//     prolongs leases and waits. Let the clock be slewed. Single transactions have no lease.
//   - If the primary does not wait for replication, a failover loses acknowledged commits, as with any other data. After the loss of a
//     claim, a retry may run a second time.
//   - MySQL and MariaDB show a commit to others a moment before it is on disk. If the server is killed in this moment, a duplicate may have
//     got an answer that is lost, and the retry runs again. The run's own caller is answered only after the commit is on disk. PostgreSQL
//     and SQLite have no such moment.
//   - Reads must see all writes: no proxy may send them to a replica. A stale read never causes a second run, because the write that
//     follows fails. But it may report a completed call as running or unknown.
//
// # Transactions
//
// The store is [store.Transactional]: under onlyonce.ExactlyOnce the handler's rows and the record of the call commit together.
//
// In a single transaction the handler gets the transaction from [Tx]. The claim is its first statement and the outcome its last, so a crash
// leaves nothing behind. A run adds two statements to the handler's in PostgreSQL and takes one transaction ID. A replay is one statement.
//   - A duplicate in another process waits in the database for the row, as long as its policy allows. It cannot see the request of the run.
//     A different request under the key waits too, and then gets KEY_REUSED, or IN_PROGRESS after its wait.
//   - statement_timeout and max_statement_time end such a wait early. The call then gets IN_PROGRESS.
//
// The result of the handler decides how the transaction ends:
//   - A definite error rolls the handler's transaction back, and a short transaction records the error. The key is free in between. If
//     another call takes it and records an outcome, the first caller gets that outcome. If the handler sent no statement, its error commits
//     like a response.
//   - With onlyonce.KeepWrites an error commits together with the writes. In PostgreSQL this requires that no statement has failed.
//   - An error marked NotExecuted rolls the transaction back and releases the key. The transaction may have ended earlier, by a lost
//     connection or, in PostgreSQL, a failed statement. Then a claim in another transaction, which is rolled back, finds out whether
//     another run has used the key since. If so, the caller gets that run's outcome. In PostgreSQL the store does not see the errors of
//     queries, so this costs three round trips after a handler that sent a query.
//   - The database may refuse the commit for a deferred constraint or trigger. PostgreSQL also refuses it if a statement of the handler has
//     failed. All is rolled back, and the call ends as if the handler had returned the database's error, or the error that
//     [WithCommitError] makes of it.
//
// database/sql waits for the answer to each statement. A call whose handler sends two statements takes six round trips. With pgx,
// [WithPipeline] and package pgxpipeline make it four, as many as the handler's transaction alone:
//
//	records, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithPipeline(pgxpipeline.Send))
//
// If a commit is not confirmed, a claim of the same key in another transaction decides: it waits for the end of the first transaction and
// reads what is left. If this claim gets no answer in time, the call does not end with success.
//
// In a joined transaction the record has a lease. The handler writes the completion with [Join], or with [InTx]. Both return an error in a
// run whose policy does not allow it. Outside of a run they return an error unless [OptionalRun] is used.
//   - The row stays locked until the handler's transaction ends.
//   - A definite error rolls the transaction back, and the engine records the error afterwards. If the process dies in between, the call
//     may run again after the lease.
//   - In PostgreSQL a joined run adds one statement and no transaction ID to the handler's transaction. In the other databases InTx adds a
//     savepoint and its release.
//   - In PostgreSQL at REPEATABLE READ or SERIALIZABLE, a renewal of the lease conflicts with a transaction that has read before it. The
//     completion fails with SQLSTATE 40001, and InTx calls its function again. A lease is renewed after a third, so a function that takes
//     longer fails on every try, and its outcome is unknown. Give the method a lease of more than three times the function's duration. At
//     READ COMMITTED, the default, renewals conflict with nothing.
//
// A single transaction holds a connection while its handler runs. Handlers that take a second connection from the same pool could wait for
// each other for ever. So transactions may use only half of the pool: see [WithMaxTransactions]. A handler that takes two more can still
// starve, and so can a handler in a pool of one. A joined run renews its lease through the store's pool. If handlers may hold all its
// connections, give the store its own pool.
//
// Change the policy of a method between a single transaction and a lease in all processes at once. While both are in use, a leased claim
// waits for the single transaction of its key in another process. If the wait exceeds the store's timeout ([WithTimeout]), the call is
// rejected with STORE_UNAVAILABLE. Under FailOpen it would run unprotected beside the other, so do not combine the change with FailOpen. In
// SQLite all writers take turns, and a leased claim waits for single transactions of any key. So keep methods with FailOpen out of a file
// with single transactions.
//
// # What a handler must not do to its single transaction
//
// A handler must not begin or end a transaction by a statement, and must not change the schema in MySQL, which commits. The store notices
// these cases:
//
//   - A statement whose first word begins or ends a transaction, such as COMMIT, ROLLBACK or BEGIN, is not sent. It fails with
//     [ErrEndsTransaction].
//   - Some statements may end the transaction: several statements in one text, and in MySQL everything except reading and writing rows. The
//     store makes a savepoint before the first of them, and looks for it after the handler has returned. If the savepoint is gone, the
//     outcome of the run is unknown: it is neither recorded nor released. This costs two statements. The name of the savepoint is random,
//     so it never clashes with the handler's own.
//   - In MySQL and SQLite, an error that only [sql.Rows], [sql.Row.Scan] or a [sql.Stmt] has seen may have ended the transaction, and
//     rolled the claim back. So after [DBTX] has returned a [sql.Rows], [sql.Row] or [sql.Stmt], the store looks for its claim, which costs
//     one statement.
//
// The store does not notice these cases:
//
//   - Statements that bypass DBTX, such as on a connection from the driver.
//   - An end of the transaction, followed in the same text by a savepoint with the store's name, which a log of the database may show.
//   - In a joined transaction of PostgreSQL: COMMIT or ROLLBACK as a statement, by a handler that returns a response or begins another
//     transaction. The completion is then written without what was rolled back. End transactions with the methods of [sql.Tx], after which
//     nothing is written.
//
// What the handler wrote before it ended the transaction stays written. The record is then unknown, or in PostgreSQL cannot be read. An
// operator settles it, or forgets it with Force.
//
// # Errors
//
// The database undoes serialization failures, deadlocks and operations on a locked database. The store tries these again with a growing
// pause, as long as the operation has time ([WithTimeout]). See [WithRetryable] for drivers whose errors have no known codes. After a lost
// connection an operation is sent again, at most twice. Records need no isolation level above READ COMMITTED. For the handler's rows see
// [WithIsolation].
//
// # Connections
//
// The store leaves nothing in a session: no advisory locks, no temporary tables, no settings beyond a transaction. So it works through a
// pooler in transaction mode. The exception is MySQL: if a claim may have to wait, the store sets innodb_lock_wait_timeout of the session
// and restores it before the handler runs. The user variable @onlyonce_lock_wait stays.
//
// Prepared statements are not needed. If the pooler does not support them, configure the driver, such as pgx with
// default_query_exec_mode=exec. An operation on a leased record holds a connection for one statement. Callers that wait for a run in
// another process poll, once per key and process, and hold no connection. For PostgreSQL see [Store.Notify].
//
// Limit the pool, and let it keep its connections:
//
//	db.SetMaxOpenConns(16)
//	db.SetMaxIdleConns(16)
//
// # PostgreSQL
//
// If [WithTable] names no schema, New finds the table and the store uses its schema from then on, whatever search_path a later connection
// has. Two processes may still find two tables, and run one key twice. Check warns if several schemas have a table of this name. Name the
// schema then.
//
// # MySQL and MariaDB
//
// With go-sql-driver/mysql:
//
//	user@tcp(db:3306)/payments?charset=utf8mb4&readTimeout=30s&writeTimeout=30s&rejectReadOnly=true&innodb_lock_wait_timeout=1
//
// The parameters:
//
//   - charset gives client and connection the same character set. If they differ, the server converts what the driver sends and damages
//     keys. Check refuses such a connection, and no claim wins on it. Tables and database may have any character set.
//   - readTimeout: the driver may ignore contexts while it waits for the reply to a COMMIT. This bounds the wait.
//   - rejectReadOnly: the driver drops the connection to a primary that became read-only, such as after a failover. Without it, the store
//     drops the idle connections of its pool after the first refused write. A handler's own pool must do the same by itself.
//   - innodb_lock_wait_timeout, in seconds: MySQL does not notice a lost connection while its session waits for a lock. The sessions of
//     timed-out operations stay that long; the default is 50. MariaDB bounds each statement and does not need the parameter. Single
//     transactions bound their claims themselves, which takes two more statements in MySQL unless the parameter is low enough. The
//     parameter applies to the whole pool: give the store its own pool if handlers wait longer.
//
// Check refuses settings that would lose records or keep them for ever: see [Store.Check]. Other values of sql_mode work, such as ORACLE
// and SIMULTANEOUS_ASSIGNMENT. So does sql_safe_updates.
//
// # Migrations
//
// [Migrate] and the text of [Schema] bring tables of every version up to date, and never back. Migrations only add: an open store of an
// older build keeps working after a newer build has migrated. An older build that starts afterwards is refused, so roll back before the
// tables are migrated. A view shows the records to people: its name is that of the table with the suffix _readable. It does not count,
// because no build reads it.
//
// # SQLite
//
// One file on a local disk, for any number of processes of one machine. Open it with a write-ahead log, flushed commits, and a busy timeout
// of a few milliseconds. SQLite ignores contexts during the busy timeout, and the store waits by itself. With modernc.org/sqlite:
//
//	file:payments.db?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)
//
// With github.com/mattn/go-sqlite3, untested:
//
//	file:payments.db?_busy_timeout=5&_journal_mode=WAL&_synchronous=FULL
//
// Writers take turns. Replays and lookups wait for nobody. Single transactions run one after the other, whatever their keys.
//
// # Other databases
//
// The tests run on PostgreSQL, also behind pgbouncer, on MariaDB, on MySQL 9, and on SQLite with modernc.org/sqlite. Untested: MySQL 8.0,
// which has every statement in use, CockroachDB and YugabyteDB (as PostgreSQL), and TiDB (as MySQL). They are known to lack LISTEN and
// advisory locks, which are not needed. fillfactor is ignored, and only Run needs SKIP LOCKED. With several primaries that certify writes
// later, such as Galera, send all writes to one.
package sqlstore
