// Package sqlstore keeps onlyonce records in a table of PostgreSQL, MySQL, MariaDB or SQLite, through database/sql: one row
// for each key, changed by one atomic statement at a time, and decided on the database's clock.
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
//		if err := records.Run(ctx); err != nil { // deletes what has expired, until ctx ends
//			slog.Error("expired records stay", "error", err)
//		}
//	}()
//
// The package links no driver; the program brings its own. For database administrators there is docs/databases.md: costs, queries, vacuum,
// locks, partitions.
//
// # The row
//
// One record is one row: the hash of scope, method and key as primary key, the fields of [store.Record] in columns of their own,
// times in milliseconds since 1970, and the outcome. What people read, method and readable key, is text in printable
// ASCII, with everything else as %XX. [Schema] prints the whole of it.
//
// A row proves that it is whole: the request is bound to its key by a checksum, the outcome to key, state and owner by a
// second, all numbers to both by a third. A row that is cut short, altered or in the place of another is
// [store.ErrUnreadable] and never an absent record; nothing runs and nothing deletes it. A row in a format of a later build is
// [store.ErrNewer].
//
// Every operation reads the row and the clock in one statement, decides by the transition table of package store, and writes in a
// second one if the row is still as it was: same revision, same owner. If it is not, it starts over. In PostgreSQL the first
// claim of a key, a renewal, a completion by the owner, and a replay take one statement, in SQLite a completion does.
// Whatever was sent twice because a reply was lost is recognised by its token.
//
// A renewal changes no indexed column, nor does the completion of a single transaction; PostgreSQL keeps them within the page. The
// completion of a leased run moves the row from the index of what is not settled, which therefore stays small, to the index of what
// expires.
//
// # What it holds, and what it does not
//
// The database keeps what it has acknowledged, unless its settings trade commits for speed; [Store.Check] warns of those. A record keeps
// the retention of the claim that made its owner, and whoever settles it uses that. What has expired is absent at once, and deleted by
// [Store.Run], which goes on when a database that was away is back. Records that nobody settles stay for ever, unless
// [WithUnknownRetention] gives them a life; [Store.ListUnknown] and [Store.ListRunning] find them by an index of their own. [Store.Forget]
// removes any record, by force also one that cannot be read.
//
// The note of a claim is in the column of the outcome while its run goes on, and costs no statement. A single transaction writes none,
// because nobody else sees its record before it is completed.
//
//   - Leases and retentions follow the wall clock of the database's machine. A step forward ends leases early: under AtMostOnce
//     that makes outcomes unknown, under AtLeastOnce it lets a run be taken over while its owner still works. A step back
//     keeps leases, and so waiters, for as long. Let the clock be slewed. The clocks of the programs do not matter. Single
//     transactions have no lease.
//   - Replication that the primary does not wait for loses acknowledged commits in a failover, as with any other data. After the
//     loss of a claim a retry may run a second time.
//   - MySQL and MariaDB show a commit to others a moment before it is on disk, PostgreSQL and SQLite do not. A duplicate that is answered
//     in that moment has an answer that is lost if the server is killed in the same moment; the retry runs again then. Whoever made
//     the run itself is not answered before its commit is on disk.
//   - Reads must see what was written: no proxy may send them to a replica. A stale read costs no second run, because the
//     write that follows it fails, but it may answer that a call is in progress, or unknown, that is completed.
//
// # Transactions
//
// The store is [store.Transactional]: under onlyonce.ExactlyOnce a handler's rows and the record of its call commit together.
//
// In a single transaction the handler finds it with [Tx]. The claim is its first statement and the outcome its last, so a crash
// leaves nothing behind. A duplicate in another process waits in the database for the row, as long as its policy allows. It cannot see the
// request of the run meanwhile: another request under the key waits as well, and then gets KEY_REUSED, or IN_PROGRESS when its wait is
// over. The wait ends early where the database ends it, by statement_timeout or max_statement_time: the call is IN_PROGRESS then. A run
// adds two statements to the handler's in PostgreSQL, and takes one transaction ID; a replay is one statement.
//
// A definite error rolls the handler's transaction back, and a short one of its own records it. In between the key is free: where another
// call has taken it and recorded an outcome, the first caller gets that outcome. A handler that has sent no statement has nothing to
// roll back, and its error commits as a response does. Where onlyonce.KeepWrites keeps the writes, the error commits with them, and
// PostgreSQL wants a transaction in which no statement has failed.
//
// An error marked NotExecuted rolls the transaction back and releases the key. The transaction may have ended before its handler: because
// its connection was lost, or in PostgreSQL because a statement has failed. Then another claim of the key, in a transaction that is rolled
// back, finds out whether another run has used the key since, and the caller gets that run's outcome. In PostgreSQL the errors of queries
// go to the handler alone, so this costs three round trips after a handler that has sent a query.
//
// The database may refuse to commit what a handler wrote, because of a constraint or a trigger that is deferred; PostgreSQL refuses as well
// where a statement of the handler has failed and the handler went on. All of it is rolled back then, and the call ends with the error of
// the database, or with what [WithCommitError] makes of it, as if the handler had returned that error.
//
// database/sql waits for the answer to each statement, so that a call takes six round trips whose handler makes two statements. With
// pgx, [WithPipeline] and package pgxpipeline make that four, as many as the handler's transaction takes by itself:
//
//	records, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithPipeline(pgxpipeline.Send))
//
// A commit that was not confirmed is decided by a claim of the same key in another transaction: it has to wait until the first
// is over, and then reads what that has left. If the database does not answer this claim in time either, the call does not end with
// success.
//
// Joined, the record is leased, and the handler writes the completion with [Join], or [InTx] does it. Both fail in a run whose policy is
// another, and outside of any run unless [OptionalRun] allows that. The row is then locked until
// the handler's transaction ends. A definite error rolls that transaction back, and the engine records the error afterwards: if the process
// dies in between, the call may run again after the lease. In PostgreSQL a joined run adds one statement and no transaction ID to the
// handler's transaction. Elsewhere InTx adds a savepoint and its release.
//
// In PostgreSQL at REPEATABLE READ or SERIALIZABLE, a renewal of the lease conflicts with a
// transaction that has read anything before it: the completion fails with SQLSTATE 40001, and InTx runs its function again. The lease
// is renewed at a third, so a function that takes longer than that fails on every try, and the outcome of the call is unknown: give
// its method a lease of more than three times what the function takes there. At READ COMMITTED, its default, no renewal
// conflicts with anything.
//
// A single transaction holds a connection while its handler runs. So that handlers which take another from the same pool cannot
// wait for each other for ever, only half of the pool is given to transactions: see [WithMaxTransactions]. A handler that takes two
// more can still starve, as can one in a pool of one connection. A joined run renews its lease through the store's pool: where
// handlers may hold all of its connections, give the store a pool of its own.
//
// Change the policy of a method between a single transaction and a lease in one step, not instance by instance: while both are at work
// on one table, a leased claim waits for a single transaction of its key that another process has open, and where that takes longer than
// the store's timeout ([WithTimeout]) it counts as a store that cannot be reached. Its call is rejected with STORE_UNAVAILABLE then;
// under FailOpen it would run without protection next to the other, so do not combine FailOpen with that. In SQLite, where all who
// write take turns, a leased claim waits for single transactions of any key: keep methods with FailOpen out of a file that has any.
//
// # What a handler must not do to its single transaction
//
// A handler must neither begin nor end a transaction by a statement, nor change the schema in MySQL, which commits. This is what the store
// notices:
//
//   - A statement whose first word begins or ends a transaction, such as COMMIT, ROLLBACK or BEGIN, is not sent, and fails with
//     [ErrEndsTransaction].
//   - Before a statement that may end the transaction, the store makes a savepoint, and looks for it when the handler has returned.
//     Such are several statements in one text, and in MySQL everything but reading and writing rows. Where the savepoint is gone, the
//     outcome of the run is unknown: it is neither recorded nor released. That costs two more statements.
//   - In MySQL and SQLite an error may have ended the transaction that only [sql.Rows], [sql.Row.Scan] or a [sql.Stmt] has seen. It has
//     rolled the claim back, too. The store looks for its claim after [DBTX] has made one of them, which costs one more statement.
//   - The savepoint has a name that no handler can guess, so that a savepoint of the handler's own is never taken for it. It goes before
//     the first of these.
//
// This is what it does not notice:
//
//   - Statements that a handler sends in a way of its own, such as a connection that it got from the driver.
//   - An end of the transaction that is followed, in the same text, by a savepoint of the name that the store uses, which a log of the
//     database may tell.
//   - In a joined transaction of PostgreSQL, a COMMIT or ROLLBACK as a statement of the handler that returns a response, or that begins
//     another transaction afterwards: the completion is then written without what was rolled back. End transactions by the methods of
//     [sql.Tx], after which nothing is written.
//   - What the handler wrote before it ended the transaction stays written. Nobody can take that back; the record says that the outcome is
//     unknown, or in PostgreSQL cannot be read. An operator settles it, or forgets it by force.
//
// # Errors
//
// Serialization failures, deadlocks and a locked database are undone by the database and tried again, with a growing pause, as
// long as the operation has time ([WithTimeout]); see [WithRetryable] for drivers whose errors do not tell. Where the connection
// breaks, the operation is sent again twice. Any isolation level from READ COMMITTED on is fine for
// records, and nothing gains by more; for the handler's rows see [WithIsolation].
//
// # Connections
//
// There is no session state: no advisory locks, no temporary tables, no settings beyond a transaction. (MySQL knows no setting of a
// transaction: where a claim may have to wait, the store sets innodb_lock_wait_timeout for the session, and puts it back before the
// handler runs. The user variable @onlyonce_lock_wait stays.) Everything works through a pooler in transaction mode. Prepared statements
// are not needed; where the pooler does not carry them over, configure the driver, as in pgx with default_query_exec_mode=exec. An
// operation on a leased record holds one connection for one statement. Callers that wait for a run elsewhere poll, one for each key and
// process, and hold none; in PostgreSQL see [Store.Notify].
//
// Give the pool a limit, and let it keep its connections:
//
//	db.SetMaxOpenConns(16)
//	db.SetMaxIdleConns(16)
//
// # PostgreSQL
//
// Without a schema in the name of [WithTable], the store uses the table that it finds when it is made, and names its schema from then on:
// connections with another search_path, such as a pooler mixes, see the same records. Two processes may still find two tables, and run one
// key twice: Check warns where several schemas have a table of the name. Name the schema then.
//
// # MySQL and MariaDB
//
// With go-sql-driver/mysql:
//
//	user@tcp(db:3306)/payments?charset=utf8mb4&readTimeout=30s&writeTimeout=30s&rejectReadOnly=true&innodb_lock_wait_timeout=1
//
// The parameters:
//
//   - charset sets the character sets of client and connection to the same. Where they differ, the server converts what the driver sends,
//     and would mangle keys. Check refuses such a connection, and no claim wins on one. Tables and database may have any character set.
//   - readTimeout: the driver may wait for the reply to a COMMIT without heeding a context. It gives the connection up then.
//   - rejectReadOnly: the driver drops the connection to a primary that became read-only, as after a failover behind one address. Without
//     it the store drops the idle connections of its pool as soon as a write is refused. A handler's own pool has to see to its own.
//   - innodb_lock_wait_timeout, in seconds: MySQL does not see that a connection has gone while its session waits for a lock. Sessions of
//     operations that ran out of time stay for so long; the default is 50. MariaDB takes a bound with each statement, and does not need
//     this. Single transactions bound their claims themselves in both. In MySQL that takes two statements, unless this parameter is low
//     enough. It holds for all that uses the pool, so give the store a pool of its own if handlers wait longer.
//
// Check refuses settings under which records would be lost or never deleted: see [Store.Check]. Other modes of sql_mode work, ORACLE and
// SIMULTANEOUS_ASSIGNMENT among them, and so does sql_safe_updates.
//
// # Migrations
//
// [Migrate] and the text of [Schema] bring tables of every version up to date, and never back. A migration adds: a store of an older build
// that is open when a newer one migrates goes on working. An older build that starts afterwards is refused, so roll back to it before the
// tables are migrated. The view for people does not count: no build reads it.
//
// # SQLite
//
// One file, on a local disk, for any number of processes of one machine. Open it with a write-ahead log, with commits that are
// flushed, and with a busy timeout of a few milliseconds, because SQLite does not heed contexts while it waits; the store
// waits by itself. With modernc.org/sqlite:
//
//	file:payments.db?_pragma=busy_timeout(5)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)
//
// With github.com/mattn/go-sqlite3, untested:
//
//	file:payments.db?_busy_timeout=5&_journal_mode=WAL&_synchronous=FULL
//
// Writers take turns; replays and lookups wait for nobody. Single transactions run one after the other, whatever their keys.
//
// # Other databases
//
// Tested are PostgreSQL, also behind pgbouncer, MariaDB, MySQL 9 and SQLite as in modernc.org/sqlite. MySQL 8.0 has every statement that is
// used; it is untested, as are CockroachDB and YugabyteDB (as PostgreSQL) and TiDB (as MySQL).
// What they are known to lack, LISTEN and advisory locks, is not needed; fillfactor is ignored, SKIP LOCKED is needed by Run
// alone. With several primaries that accept writes and certify them later, as in Galera, writes have to go to one.
package sqlstore
