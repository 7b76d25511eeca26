package sqlstore

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Dialect is the SQL dialect of a database. The zero value is invalid.
type Dialect int

const (
	// PostgreSQL is for PostgreSQL 12 and later.
	PostgreSQL Dialect = iota + 1
	// MySQL is for MySQL 8.0 and later, and for MariaDB 10.6 and later, with InnoDB.
	MySQL
	// SQLite is for SQLite 3.37 and later, in a file.
	SQLite
)

// String returns the name of the dialect.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	default:
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
}

func (d Dialect) validate() error {
	if d < PostgreSQL || d > SQLite {
		return fmt.Errorf("sqlstore: unknown dialect %v: use sqlstore.PostgreSQL, sqlstore.MySQL or sqlstore.SQLite", d)
	}

	return nil
}

// files hold every statement, one a file, in a folder for each dialect.
//
//go:embed sql
var files embed.FS

// statements are the statements that a store sends. A statement is empty if its dialect has no file for it.
type statements struct {
	// read reads the clock and a record. readLocked also locks the record. insert and update write one.
	read, readLocked, insert, update string
	// claim, complete and renew do the most frequent form of an operation in one statement.
	claim, complete, renew string
	// In a transaction, claimWithin makes a first claim and completeWithin completes it. bound bounds the waits for locks, and unbound removes
	// the bound. lock takes SQLite's lock. join is a completion in a transaction of the handler.
	claimWithin, completeWithin, bound, unbound, lock, join string
	// server distinguishes MariaDB from MySQL. lockWait bounds the waits for locks in MySQL's session, and lockWaitReset removes the bound.
	server, lockWait, lockWaitReset string
	// insertWithin is the part of claimWithin that inserts the record. completeTogether is completeWithin, but fails if there is no record, so
	// that no later statement is executed.
	insertWithin, completeTogether string
	// record makes a first claim and its completion at once.
	record string
	// list reads a page of records whose outcome is unknown, and listRunning of records that run. sweep deletes expired records,
	// sweepUnsettled old unsettled ones, and forget deletes one record.
	list, listRunning, sweep, sweepUnsettled, forget string
	// version reads the version of the schema.
	version string
	// notify sends a notification that a record has stopped running. joinTelling is join with a notification at the commit.
	notify, joinTelling string
}

func loadStatements(d Dialect, t table) *statements {
	names, columns := t.names(d), readFile(d, "columns")
	load := func(name string) string {
		return names.Replace(strings.ReplaceAll(readFile(d, name), "{columns}", columns))
	}

	all := &statements{
		read:        load("read"),
		readLocked:  load("read_locked"),
		insert:      load("insert"),
		update:      load("update"),
		claim:       load("claim"),
		complete:    load("complete"),
		claimWithin: load("claim_within"), completeWithin: load("complete_within"),
		bound: load("bound"), unbound: load("unbound"), lock: load("lock"), join: load("join"),
		server: load("server"), lockWait: load("lock_wait"), lockWaitReset: load("lock_wait_reset"),
		renew:          load("renew"),
		list:           load("list"),
		listRunning:    load("list_running"),
		sweep:          load("sweep"),
		forget:         load("forget"),
		sweepUnsettled: load("sweep_unsettled"),
		version:        load("version"),
		record:         load("record"),
		notify:         load("notify"),
	}

	if all.join == "" {
		all.join, _, _ = strings.Cut(all.complete, "RETURNING")
	}

	if all.notify != "" {
		all.joinTelling = all.join + "RETURNING pg_notify($8::text, $9::text)"
	}

	if _, within, ok := strings.Cut(all.claimWithin, "WITH made AS ("); ok {
		all.insertWithin, _, _ = strings.Cut(within, "\n)\n")
		all.completeTogether = "WITH done AS (\n" + all.completeWithin + ")\nSELECT coalesce(max(ended_at), 0) / count(*) FROM done"
	}

	return all
}

// readFile returns a statement of a dialect without its comments. It is empty if there is no file.
func readFile(d Dialect, name string) string {
	var kept []string

	for line := range strings.Lines(rawFile(d, name)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, strings.TrimRight(line, "\n"))
		}
	}

	return strings.Join(kept, "\n")
}

// rawFile returns a file of a dialect. It is empty if there is no file.
func rawFile(d Dialect, name string) string {
	data, err := files.ReadFile("sql/" + strings.ToLower(d.String()) + "/" + name + ".sql")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err) // the files are part of this program
	}

	return string(data)
}
