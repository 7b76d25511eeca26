package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// schemaVersion is the version of the schema that this build needs: the number of the last migration. The view for people does not count,
// because no build reads it.
const schemaVersion = 1

// migrationTries bounds how often a migration that collides with others is tried again. A try that another migration has locked out does
// not count.
const migrationTries = 20

// ErrNewerSchema is matched by the error about tables that a newer build has migrated.
var ErrNewerSchema = errors.New("sqlstore: the schema is newer than this build")

// Migrate creates the tables, or brings them up to date. Every process may call it at every start: one of them migrates, and the others
// wait. If there is nothing to do, it reads one row and looks for the view. It uses only the option WithTable.
//   - It needs the right to create tables only if there is something to do. If only the view for people is missing, Migrate creates it, or
//     does without it if it lacks the right.
//   - Open stores of an older build keep working: a migration never changes what they use.
//   - It returns an error that matches ErrNewerSchema if a newer build has migrated, and an error if the database does not have the
//     dialect. Then it has changed nothing.
//   - Give ctx a deadline. Without one, it waits for other migrations as long as they take.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, opts ...Option) error {
	if db == nil {
		return errors.New("sqlstore: Migrate: db is nil: pass the result of sql.Open")
	}

	cfg, err := configure(d, opts)
	if err != nil {
		return err
	}

	m := &migration{dialect: d, table: cfg.table}

	// Concurrent migrations collide in many ways: tables that appear after the check, locks, and in PostgreSQL a unique index of the
	// catalogue.
	for try, failed := 0, 0; ; try++ {
		err := m.run(ctx, db)

		// In SQLite another migration may hold the lock for longer than all tries take.
		if !d.undone(err) {
			failed++
		}

		if err == nil || errors.Is(err, ErrNewerSchema) || errors.Is(err, errDialect) || failed > migrationTries || !pause(ctx, try) {
			return err
		}
	}
}

// Schema returns the SQL text of a migration, for those who execute it themselves. It uses only the option WithTable. The text can be
// executed again, also after a newer build has migrated: the version never goes back, and existing tables keep their settings. It creates
// the view for people, or replaces it if no column goes away. SQLite keeps an existing view. Drop the view first to get the new one in any
// case.
func Schema(d Dialect, opts ...Option) (string, error) {
	cfg, err := configure(d, opts)
	if err != nil {
		return "", err
	}

	var b strings.Builder

	names := cfg.table.names(d)
	for _, text := range append([]string{rawFile(d, "versions")}, migrations(d)...) {
		b.WriteString(names.Replace(text))
		b.WriteByte('\n')
	}

	version := strconv.Itoa(schemaVersion)
	set := strings.NewReplacer("$1", version, "?1", version, "?", version).Replace(readFile(d, "version_set"))

	b.WriteString(names.Replace(set) + ";\n")

	return b.String(), nil
}

// migrations returns the texts of all migrations of a dialect. The last one also creates the view.
func migrations(d Dialect) []string {
	all := make([]string, schemaVersion)
	for i := range all {
		all[i] = rawFile(d, fmt.Sprintf("migrations/%04d", i+1))
	}

	all[schemaVersion-1] += "\n" + rawFile(d, "view")

	return all
}

// migration is one try to migrate.
type migration struct {
	dialect Dialect
	table   table
}

func (m *migration) run(ctx context.Context, db *sql.DB) error {
	names := m.table.names(m.dialect)

	// One connection for everything, because another may have another search_path.
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", err)
	}
	defer conn.Close() //nolint:errcheck // returns it to the pool

	if version, err := readVersion(ctx, conn, names.Replace(readFile(m.dialect, "version"))); err == nil && version >= schemaVersion {
		if err := m.fits(version); err != nil {
			return err
		}

		m.view(ctx, conn, names)

		return nil
	}

	// Before a table is created, because some databases accept statements of others and fail halfway.
	if err := checkDialect(ctx, conn, m.dialect); err != nil {
		return err
	}

	if err := execute(ctx, conn, names.Replace(rawFile(m.dialect, "versions"))); err != nil {
		return err
	}

	// SQLite must take the write lock first. In MySQL a transaction ends with the first change of the schema, so every step of a migration
	// must allow a second execution.
	begin := "START TRANSACTION" // in MariaDB's mode ORACLE, BEGIN alone begins a block
	if m.dialect == SQLite {
		begin = "BEGIN IMMEDIATE"
	}

	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", err)
	}

	if err := m.steps(ctx, conn, names); err != nil {
		undo(ctx, conn)

		return err
	}

	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		undo(ctx, conn)

		return fmt.Errorf("sqlstore: migrating: %w", err)
	}

	return nil
}

// undo rolls back. If that fails, the connection is useless anyway.
func undo(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBeyond)
	defer cancel()

	_, _ = conn.ExecContext(ctx, "ROLLBACK")
}

// view creates the view for people if it is missing, such as in tables of older builds. The store does not need it, so a role without the
// right does without it.
func (m *migration) view(ctx context.Context, at querier, names *strings.Replacer) {
	rows, err := at.QueryContext(ctx, names.Replace("SELECT 1 FROM {readable} WHERE 1 = 0"))
	if err == nil {
		_, err = scan(rows)
	}

	if m.dialect.missing(err) {
		_ = execute(ctx, at, names.Replace(rawFile(m.dialect, "view")))
	}
}

// steps executes the missing migrations in a transaction.
func (m *migration) steps(ctx context.Context, tx querier, names *strings.Replacer) error {
	version, err := readVersion(ctx, tx, names.Replace(readFile(m.dialect, "version_locked")))
	if err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", err)
	}

	if err := m.fits(version); err != nil {
		return err
	}

	for i, text := range migrations(m.dialect) {
		if i < version {
			continue
		}

		if err := execute(ctx, tx, names.Replace(text)); err != nil {
			return err
		}

		if _, err := tx.ExecContext(ctx, names.Replace(readFile(m.dialect, "version_set")), i+1); err != nil {
			return fmt.Errorf("sqlstore: migrating to version %d: %w", i+1, err)
		}
	}

	return nil
}

// fits returns an error for a version that this build does not know.
func (m *migration) fits(version int) error {
	if version > schemaVersion {
		return fmt.Errorf("%w: table %s has version %d, this build knows %d: use a newer build, or another table",
			ErrNewerSchema, m.table, version, schemaVersion)
	}

	return nil
}

// execute executes the statements of a text. Each ends with a semicolon at the end of a line.
func execute(ctx context.Context, at querier, text string) error {
	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}

		if _, err := at.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("sqlstore: migrating: %w", err)
		}
	}

	return nil
}

// readVersion returns the version that a statement reads.
func readVersion(ctx context.Context, at querier, query string) (int, error) {
	rows, err := at.QueryContext(ctx, query)
	if err != nil {
		return 0, err // wrapped by those who ask
	}

	var version integer

	found, err := scan(rows, &version)
	if err == nil && !found {
		err = errors.New("the row with the version of the schema is missing")
	}

	return int(version), err
}
