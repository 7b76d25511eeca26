package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// checkTimeout bounds the Check of New, which takes up to ten statements.
const checkTimeout = 15 * time.Second

// Report is the result of a Check.
type Report struct {
	// Server is the name and version of the database, such as "PostgreSQL 15.8".
	Server string
	// Warnings are settings that weaken the store and leave it usable, such as commits that are not flushed.
	Warnings []string
}

// Check examines whether the database can keep the store's guarantees, and changes nothing. [New] calls it. It suits a health check. The
// settings are those of one connection of the pool.
//
// Check returns an error for each of these problems. The error names the problem and its remedy.
//
//   - The database cannot be reached, or can only be read.
//   - The tables are missing, or older or newer than this build needs.
//   - PostgreSQL: a table or partition is UNLOGGED, or the table is temporary.
//   - MySQL and MariaDB: no autocommit, READ UNCOMMITTED, a completion_type other than NO_CHAIN, a binary log of statements, the sql_mode
//     EMPTY_STRING_IS_NULL, an engine other than InnoDB, or different character sets of client and connection.
//   - SQLite: in memory, or without a write-ahead log.
func (s *Store) Check(ctx context.Context) (Report, error) {
	j, err := s.examine(ctx)
	if err != nil {
		return Report{}, err
	}

	return Report{Server: s.dialect.String() + " " + j.version, Warnings: j.warnings}, errors.Join(j.problems...)
}

// examine collects the diagnoses for Check. It returns an error if the database does not answer, or has another dialect.
func (s *Store) examine(ctx context.Context) (*judge, error) {
	rows, err := s.db.QueryContext(ctx, readFile(s.dialect, "check"))
	if err != nil {
		if wrong := checkDialect(ctx, s.db, s.dialect); wrong != nil {
			return nil, wrong
		}

		return nil, fmt.Errorf("sqlstore: the database cannot be reached, or is not %v: %w", s.dialect, err)
	}

	settings, err := readSettings(rows)
	if err != nil {
		if wrong := checkDialect(ctx, s.db, s.dialect); wrong != nil {
			return nil, wrong
		}

		return nil, fmt.Errorf("sqlstore: check: reading the settings of the database: %w", err)
	}

	j := &judge{settings: settings}

	switch s.dialect {
	case PostgreSQL:
		j.postgresql()
	case MySQL:
		j.mysql()
		j.checked("bytes", "bytes arrive as they were sent", s.checkBytes(ctx, settings))
		s.checkReadOnly(ctx, j)
	case SQLite:
		j.sqlite()
	}

	s.checkTable(ctx, j)
	j.checked("schema", fmt.Sprintf("the tables of %s have version %d, as this build needs", s.table, schemaVersion), s.checkSchema(ctx))

	if s.pipeline != nil {
		j.checked("pipeline", "the pipeline knows the driver", s.checkPipeline(ctx))
	}

	return j, nil
}

// readSettings reads pairs of a name and a value.
func readSettings(rows *sql.Rows) (map[string]string, error) {
	defer rows.Close()

	settings := make(map[string]string)

	for rows.Next() {
		var name, value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err // wrapped by Check
		}

		settings[name.String] = value.String
	}

	return settings, rows.Err()
}

// checkSchema checks the tables and the version.
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

	// The version may exist without the table of records.
	rows, err := s.db.QueryContext(ctx, s.sql.read, make([]byte, 32))
	if err == nil {
		_, err = scan(rows, new(row).answer(s.dialect)...)
	}

	if err != nil {
		return fmt.Errorf("sqlstore: the table %s cannot be read: %w", s.table, err)
	}

	return nil
}
