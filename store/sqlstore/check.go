package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// checkTimeout bounds the Check at construction, which takes up to ten statements.
const checkTimeout = 15 * time.Second

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
// needs, and where the database would not keep what it acknowledges:
//
//   - PostgreSQL with a table or a partition that is UNLOGGED, or with a temporary table
//   - MySQL and MariaDB without autocommit, with READ UNCOMMITTED, with a completion_type other than NO_CHAIN, with a binary log of
//     statements, with the sql_mode EMPTY_STRING_IS_NULL, with another engine than InnoDB, or with a client and a connection of
//     different character sets
//   - SQLite in memory or without a write-ahead log
//
// The error names every problem and says what to do.
func (s *Store) Check(ctx context.Context) (Report, error) {
	j, err := s.examine(ctx)
	if err != nil {
		return Report{}, err
	}

	return Report{Server: s.dialect.String() + " " + j.version, Warnings: j.warnings}, errors.Join(j.problems...)
}

// examine does the work of Check. It fails if the database does not answer, or is of another dialect.
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

		return nil, fmt.Errorf("sqlstore: the settings of the database cannot be read: %w", err)
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
