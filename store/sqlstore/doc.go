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
// The package links no driver: the program imports one. The page docs/databases.md is for database administrators: costs, queries, vacuum,
// locks, partitions, parameters of MySQL and SQLite, and statements that a handler must not send.
//
// # Guarantees and limits
//
//   - The database keeps what it acknowledged, unless its settings trade durability for speed. [Store.Check] warns of such settings.
//   - A record keeps the retention of its owner's claim. An expired record is absent at once, and [Store.Run] deletes it.
//   - Unsettled records stay for ever, unless [WithUnknownRetention] limits their life. [Store.ListUnknown] and [Store.ListRunning] find
//     them by an index. [Store.Forget] removes any record. With Force it also removes one that cannot be read.
//   - Checksums protect each row. A row that was cut, changed or moved is [store.ErrUnreadable], never an absent record. Nothing runs, and
//     no sweep deletes it. A row in a newer format is [store.ErrNewer].
//   - Leases and retentions follow the wall clock of the database's machine, not the clocks of programs. A step forward ends leases early.
//     Outcomes then become unknown under AtMostOnce, and under AtLeastOnce a run may be taken over while its owner works. A step back
//     prolongs leases and waits. Single transactions have no lease.
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
// leaves nothing behind. The result of the handler decides how the transaction ends:
//
//	response                     commits the writes and the record
//	definite error               rolls back the writes; a short second transaction records the error
//	definite error, KeepWrites   commits the writes and the record
//	error marked NotExecuted     rolls back the writes, and releases the key
//	any other error, or a panic  rolls back everything, also the claim
//
// These rules also hold:
//
//   - Between the two transactions of a definite error the key is free. If another call takes it and records an outcome, the first caller
//     gets that outcome. If the handler sent no statement, its error commits like a response.
//   - KeepWrites requires in PostgreSQL that no statement has failed.
//   - The database may refuse the commit for a deferred constraint or trigger. PostgreSQL also refuses it if a statement of the handler has
//     failed. All is rolled back, and the call ends as if the handler had returned the database's error: see [WithCommitError].
//   - A duplicate in another process waits in the database for the row. It cannot see the request of the run. A different request under the
//     key waits too, and then gets IDEMPOTENCY_KEY_REUSED. If the wait ends before the run, because of the policy, statement_timeout or
//     max_statement_time, the duplicate gets IDEMPOTENCY_IN_PROGRESS.
//   - If a commit is not confirmed, a claim of the same key in another transaction waits for the end of the first one and reads what is
//     left. If this claim gets no answer in time, the call does not end with success.
//   - The handler must not begin or end the transaction by a statement, nor change the schema in MySQL. The store notices most of these
//     statements: see [ErrEndsTransaction] and docs/databases.md.
//
// In a joined transaction the record has a lease. The handler writes the completion with [Join], or with [InTx]. Both return an error in a
// run whose policy does not allow it. Outside of a run they return an error unless [OptionalRun] is used.
//
//   - The row stays locked until the handler's transaction ends.
//   - A definite error rolls the transaction back, and the engine records the error afterwards. If the process dies in between, the call
//     may run again after the lease.
//   - In PostgreSQL at REPEATABLE READ or SERIALIZABLE, a renewal of the lease conflicts with a transaction that has read before it. The
//     completion fails with SQLSTATE 40001, and InTx calls its function again. A lease is renewed after a third, so a function that takes
//     longer fails on every try, and its outcome is unknown. Give the method a lease of more than three times the function's duration.
//     At READ COMMITTED, the default, renewals conflict with nothing.
//   - End the transaction with the methods of [sql.Tx], never by a statement.
//
// # What a program must set
//
//   - The pool: db.SetMaxOpenConns(16) and db.SetMaxIdleConns(16), or other numbers. A single transaction holds a connection while its
//     handler runs. Single transactions may use only half of the pool, so that handlers which take a second connection find one: see
//     [WithMaxTransactions]. A handler that takes two more can still starve, and so can a handler in a pool of one. A joined run renews its
//     lease through the store's pool. If handlers may hold all its connections, give the store its own pool.
//   - [Store.Run] in one goroutine, to delete expired records.
//   - The schema, with [Migrate] at every start or with the text of [Schema]. Migrations only add, so older builds keep working.
//   - The name of the PostgreSQL schema in [WithTable], if several schemas have a table of this name.
//   - The parameters of the driver for MySQL, MariaDB and SQLite: see docs/databases.md.
//   - With pgx, [WithPipeline] and package pgxpipeline: a call whose handler sends two statements takes four round trips instead of six.
//
// Change the policy of a method between a single transaction and a lease in all processes at once, and not together with FailOpen. While
// both are in use, a leased claim waits for the single transaction of its key in another process. If the wait exceeds [WithTimeout], the
// call gets IDEMPOTENCY_STORE_UNAVAILABLE, and under FailOpen it would run unprotected beside the other. In SQLite a leased claim waits for
// single transactions of any key. So keep methods with FailOpen out of a file with single transactions.
//
// # Check
//
// [New] calls [Store.Check]. It refuses settings that would lose records or keep them for ever, and warns of settings that weaken the
// store.
//
// # Errors
//
// The database undoes serialization failures, deadlocks and operations on a locked database. The store tries these again with a growing
// pause, as long as the operation has time ([WithTimeout]). See [WithRetryable] for drivers whose errors have no known codes. After a lost
// connection an operation is sent again, at most twice, and its token recognises it. Records need no isolation level above READ COMMITTED.
// For the handler's rows see [WithIsolation].
package sqlstore
