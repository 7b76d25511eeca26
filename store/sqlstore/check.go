package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// checkTimeout bounds the Check at construction.
const checkTimeout = 5 * time.Second

// mostBusyTimeout is the longest time, in milliseconds, that SQLite may wait by itself: it does not heed contexts then.
const mostBusyTimeout = 1000

// Report is what Check has found out.
type Report struct {
	// Server is the database that was asked, such as "PostgreSQL 15.8".
	Server string
	// Warnings say in words what weakens the store without making it unusable, such as commits that are not flushed.
	Warnings []string
}

// Check asks the database whether it can hold what the store promises. It is called at construction, and fits a health
// check. Settings are those of one connection of the pool.
//
// It fails where the database cannot be reached or only be read, where the tables are missing, older or newer than this build
// needs, and where the database would not keep what it acknowledges: MySQL without autocommit, with READ UNCOMMITTED or with
// another engine than InnoDB, SQLite in memory or without a write-ahead log. The error names every problem and says what to do.
func (s *Store) Check(ctx context.Context) (Report, error) {
	rows, err := s.db.QueryContext(ctx, readFile(s.dialect, "check"))
	if err != nil {
		if wrong := checkDialect(ctx, s.db, s.dialect); wrong != nil {
			return Report{}, wrong
		}

		return Report{}, fmt.Errorf("sqlstore: the database cannot be reached, or is not %v: %w", s.dialect, err)
	}

	found, err := settings(rows)
	if err != nil {
		if wrong := checkDialect(ctx, s.db, s.dialect); wrong != nil {
			return Report{}, wrong
		}

		return Report{}, fmt.Errorf("sqlstore: the settings of the database cannot be read: %w", err)
	}

	j := &judge{found: found}

	switch s.dialect {
	case PostgreSQL:
		j.postgresql()
	case MySQL:
		j.mysql()
		j.problem(s.checkEngine(ctx))
	case SQLite:
		j.sqlite()
	}

	j.problem(s.checkSchema(ctx))
	j.problem(s.checkPipeline(ctx))

	return Report{Server: s.dialect.String() + " " + j.version, Warnings: j.warnings}, errors.Join(j.problems...)
}

// settings reads pairs of a name and a value.
func settings(rows *sql.Rows) (map[string]string, error) {
	defer rows.Close()

	found := make(map[string]string)

	for rows.Next() {
		var name, value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err // wrapped by Check
		}

		found[name.String] = value.String
	}

	return found, rows.Err()
}

// checkSchema looks for the tables.
func (s *Store) checkSchema(ctx context.Context) error {
	version, err := readVersion(ctx, s.db, s.sql.version)

	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: the tables of %s are missing or cannot be read: run sqlstore.Migrate, or what sqlstore.Schema prints: %w",
			s.table, err)
	case version < schemaVersion:
		return fmt.Errorf("sqlstore: the tables of %s have version %d, this build needs %d: run sqlstore.Migrate",
			s.table, version, schemaVersion)
	default:
		m := migration{dialect: s.dialect, table: s.table}
		if err := m.fits(version); err != nil {
			return err
		}
	}

	// The version may be there without the records.
	rows, err := s.db.QueryContext(ctx, s.sql.read, make([]byte, 32))
	if err == nil {
		_, err = scan(rows, new(row).answer(s.dialect)...)
	}

	if err != nil {
		return fmt.Errorf("sqlstore: the table %s cannot be read: %w", s.table, err)
	}

	return nil
}

// checkEngine looks whether a table of MySQL has transactions.
func (s *Store) checkEngine(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, readFile(MySQL, "engine"), s.table.schema, s.table.name)
	if err != nil {
		return fmt.Errorf("sqlstore: the engine of table %s cannot be read: %w", s.table, err)
	}

	var engine sql.NullString

	found, err := scan(rows, &engine)
	if err == nil && found && engine.String != "InnoDB" {
		err = fmt.Errorf("sqlstore: table %s has the engine %s, which does not keep what it acknowledges: ALTER TABLE … ENGINE = InnoDB",
			s.table, engine.String)
	}

	return err
}

// judge says what settings mean.
type judge struct {
	found    map[string]string
	version  string
	problems []error
	warnings []string
}

func (j *judge) problem(err error) {
	if err != nil {
		j.problems = append(j.problems, err)
	}
}

// refuse adds a problem where a setting has a value.
func (j *judge) refuse(setting, value, why string) {
	if j.found[setting] == value {
		j.problem(fmt.Errorf("sqlstore: %s is %s: %s", setting, value, why))
	}
}

// warn adds a warning where a setting has a value.
func (j *judge) warn(setting, value, why string) {
	if j.found[setting] == value {
		j.warnings = append(j.warnings, setting+" is "+value+": "+why)
	}
}

const (
	readOnly   = "nothing can be written: connect to the primary"
	crashLoses = "a crash of the machine forgets what was acknowledged, and it may run again"
	serialized = "operations that meet are tried again; READ COMMITTED is enough for the store"
)

func (j *judge) postgresql() {
	j.version = j.found["server_version"]
	j.refuse("in_recovery", "on", "the server is a replica and "+readOnly)

	if j.found["in_recovery"] != "on" {
		j.refuse("transaction_read_only", "on", readOnly)
	}

	j.warn("fsync", "off", "a crash of the machine destroys the database")
	j.warn("full_page_writes", "off", "a crash of the machine may destroy pages")
	j.warn("synchronous_commit", "off", "a crash of the server forgets what was acknowledged last, and it may run again")
	j.warn("transaction_isolation", "repeatable read", serialized)
	j.warn("transaction_isolation", "serializable", serialized)
}

func (j *judge) mysql() {
	j.version = j.found["version"]
	j.refuse("autocommit", "OFF", "nothing that the store writes would be committed: set autocommit to 1")
	j.refuse("super_read_only", "ON", readOnly)
	j.refuse("innodb_read_only", "ON", readOnly)
	j.warn("read_only", "ON", "users without special rights cannot write: connect to the primary")

	for _, name := range []string{"transaction_isolation", "tx_isolation"} {
		j.refuse(name, "READ-UNCOMMITTED", "records would be read that are never committed: set READ COMMITTED or more")
		j.warn(name, "SERIALIZABLE", serialized)
	}

	j.refuse("transaction_read_only", "ON", readOnly)
	j.refuse("tx_read_only", "ON", readOnly)

	for _, value := range []string{"0", "2"} {
		j.warn("innodb_flush_log_at_trx_commit", value, crashLoses)
	}

	j.warn("innodb_doublewrite", "OFF", "a crash of the machine may destroy pages")

	if j.found["log_bin"] == "ON" && j.found["sync_binlog"] != "1" {
		j.warn("sync_binlog", j.found["sync_binlog"], "a crash of the machine may leave replicas without what was acknowledged")
	}
}

func (j *judge) sqlite() {
	j.version = j.found["version"]

	if j.found["file"] == "" {
		j.problem(errors.New("sqlstore: the database is in memory, where every connection has one of its own: open a file, " +
			"or use memstore"))
	} else if mode := j.found["journal_mode"]; mode != "wal" {
		j.problem(fmt.Errorf("sqlstore: journal_mode is %s, where readers and writers keep each other out: "+
			"open with PRAGMA journal_mode = WAL", mode))
	}

	j.refuse("query_only", "1", "nothing can be written")
	j.refuse("synchronous", "0", "a crash of the machine destroys the database: open with PRAGMA synchronous = FULL")
	j.warn("synchronous", "1", "with a write-ahead log, "+crashLoses+"; open with PRAGMA synchronous = FULL")

	if wait, err := strconv.Atoi(j.found["busy_timeout"]); err == nil && wait > mostBusyTimeout {
		j.warn("busy_timeout", j.found["busy_timeout"], "SQLite waits so many milliseconds without heeding deadlines; "+
			"the store waits by itself, so open with PRAGMA busy_timeout = 5")
	}
}
