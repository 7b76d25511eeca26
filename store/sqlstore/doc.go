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
//	go records.Run(ctx) // deletes what has expired
//
// The package links no driver; the program brings its own.
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
// A renewal changes no indexed column; PostgreSQL keeps it within the page. A completion moves the row from the index of what
// is not settled, which therefore stays small, to the index of what expires.
//
// # What it holds, and what it does not
//
// What the database has acknowledged it keeps, as far as it is told to: see [Store.Check], which warns of settings that trade
// commits for speed. Records that nobody settles live for ever; [Store.ListUnknown] finds them by an index of their own. What has
// expired is absent at once, and deleted by [Store.Run].
//
//   - Leases and retentions follow the wall clock of the database's machine. A step forward ends leases early: under AtMostOnce
//     that makes outcomes unknown, under AtLeastOnce it lets a run be taken over while its owner still works. A step back
//     keeps leases, and so waiters, for as long. Let the clock be slewed. The clocks of the programs do not matter.
//   - Replication that the primary does not wait for loses acknowledged commits in a failover, as with any other data. After the
//     loss of a claim a retry may run a second time.
//   - Reads must see what was written: no proxy may send them to a replica. A stale read costs no second run, because the
//     write that follows it fails, but it may answer that a call is in progress, or unknown, that is completed.
//   - These records are leased. They do not commit together with what a handler writes.
//
// # Errors
//
// Serialization failures, deadlocks and a locked database are undone by the database and tried again, with a growing pause, as
// long as the operation has time ([WithTimeout]); see [WithRetryable] for drivers whose errors do not tell. Where the connection
// breaks, the operation is sent again twice. Any isolation level from READ COMMITTED on is fine, and nothing gains by more.
//
// # Connections
//
// There is no session state: no advisory locks, no settings, no temporary tables. Every operation works through a pooler in
// transaction mode. Prepared statements are not needed; where the pooler does not carry them over, tell the driver, as in
// pgx with default_query_exec_mode=exec. An operation holds one connection for one statement. Callers that wait for a run elsewhere poll,
// one for each key and process, and hold none; in PostgreSQL see [Store.Notify].
//
// Give the pool a limit, and let it keep its connections:
//
//	db.SetMaxOpenConns(16)
//	db.SetMaxIdleConns(16)
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
// Writers take turns; replays and lookups wait for nobody.
//
// # Other databases
//
// Tested are PostgreSQL 15, MariaDB 10.11 and SQLite 3.5x as in modernc.org/sqlite. MySQL 8.0 has every statement that is used; it is
// untested, as are CockroachDB and YugabyteDB (as PostgreSQL) and TiDB (as MySQL). What they are known to lack, LISTEN and
// advisory locks, is not needed; fillfactor is ignored, SKIP LOCKED is needed by Run alone. With several primaries that accept
// writes and certify them later, as in Galera, writes have to go to one.
package sqlstore
