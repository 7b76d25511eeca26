package sqlstore

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect int

const (
	// PostgreSQL is for PostgreSQL from version 12 on.
	PostgreSQL Dialect = iota + 1
	// MySQL is for MySQL from version 8.0 on and for MariaDB from version 10.6 on, with InnoDB.
	MySQL
	// SQLite is for SQLite from version 3.37 on, in a file.
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
		return fmt.Errorf("sqlstore: %v is no dialect: give sqlstore.PostgreSQL, sqlstore.MySQL or sqlstore.SQLite", d)
	}

	return nil
}

// files hold every statement, one a file, in a folder for each dialect.
//
//go:embed sql
var files embed.FS

// statements are what a store sends. Those that a dialect has no file for are empty.
type statements struct {
	// read reads the clock and a record, readLocked as well and locks it, insert and update write one.
	read, readLocked, insert, update string
	// claim, complete and renew are the short ways of operations that nearly always succeed, in one statement.
	claim, complete, renew string
	// claimWithin is a first claim in a transaction, completeWithin its completion, bound bounds the wait for locks there and
	// unbound undoes that, and lock takes SQLite's. join is a completion in a transaction of the handler's.
	claimWithin, completeWithin, bound, unbound, lock, join string
	// server tells MariaDB from MySQL, lockWait bounds the wait for locks in MySQL's session, and lockWaitReset undoes that.
	server, lockWait, lockWaitReset string
	// insertWithin is the part of claimWithin that makes the record. completeTogether is completeWithin, but fails where there is no
	// record, so that nothing after it is executed.
	insertWithin, completeTogether string
	// record is a first claim and its completion at once.
	record string
	// list reads a page of what is not settled and has no lease, listRunning of what has one. Sweep deletes what has expired,
	// sweepUnsettled what nobody has settled for long, and forget one record.
	list, listRunning, sweep, sweepUnsettled, forget string
	// version reads the version of the schema.
	version string
	// notify sends a notification that a record does not run any more, and joinTelling is join with a notification at the commit.
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

// readFile is a statement of a dialect without its comments, or empty where there is no such file.
func readFile(d Dialect, name string) string {
	var kept []string

	for line := range strings.Lines(rawFile(d, name)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, strings.TrimRight(line, "\n"))
		}
	}

	return strings.Join(kept, "\n")
}

// rawFile is a file of a dialect, or empty where there is none.
func rawFile(d Dialect, name string) string {
	data, err := files.ReadFile("sql/" + strings.ToLower(d.String()) + "/" + name + ".sql")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err) // the files are part of this program
	}

	return string(data)
}
