package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// schemaVersion is the version of the schema that this build needs: the number of the last migration. The view for people needs none, since
// no build reads it.
const schemaVersion = 1

// migrationTries is how often a migration is begun that is in the way of others.
const migrationTries = 20

// ErrNewerSchema is matched by errors about tables that a newer build has migrated.
var ErrNewerSchema = errors.New("sqlstore: the schema is newer than this build")

// Migrate makes the tables, or brings them up to date. It may be called at every start, by any number of processes at once:
// one of them migrates, and where nothing is to be done it reads one row and looks for the view. It needs the right to create tables only
// where something is to be done. If only the view for people is missing, Migrate makes it, or goes without it if it has not the right. Of
// the options WithTable matters.
//
// It fails with an error that matches ErrNewerSchema where a newer build has been there, and before it changes anything if the database
// does not speak the dialect. Stores of an older build that are open when a newer one migrates go on working: a migration leaves alone what
// they use. Without a deadline in ctx it waits for the others as long as they take.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, opts ...Option) error {
	if db == nil {
		return errors.New("sqlstore: Migrate needs a database, as from sql.Open")
	}

	cfg, err := configure(d, opts)
	if err != nil {
		return err
	}

	m := &migration{dialect: d, table: cfg.table}

	// Others who migrate are in the way in many forms: tables that appear between the look and the creation, locks,
	// and in PostgreSQL a unique index of its catalogue.
	for try := 0; ; try++ {
		err := m.run(ctx, db)
		if err == nil || errors.Is(err, ErrNewerSchema) || errors.Is(err, errDialect) || try == migrationTries || !pause(ctx, try) {
			return err
		}
	}
}

// Schema returns what Migrate does as a text of SQL, for those who migrate by themselves. It can be executed more than once, also where a
// newer build has migrated: the version does not go back, and the settings of a table that exists stay as they are. It makes the view for
// people, or replaces it where that takes no column away. SQLite keeps a view that exists. Drop the view before to have a new one in any
// case. Of the options WithTable matters.
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

// migrations are the texts of all migrations of a dialect. The last one makes the view as well.
func migrations(d Dialect) []string {
	all := make([]string, schemaVersion)
	for i := range all {
		all[i] = rawFile(d, fmt.Sprintf("migrations/%04d", i+1))
	}

	all[schemaVersion-1] += "\n" + rawFile(d, "view")

	return all
}

// migration is one attempt to migrate.
type migration struct {
	dialect Dialect
	table   table
}

func (m *migration) run(ctx context.Context, db *sql.DB) error {
	names := m.table.names(m.dialect)

	// All of it happens on one connection: another may have another search_path.
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool

	if version, err := readVersion(ctx, conn, names.Replace(readFile(m.dialect, "version"))); err == nil && version >= schemaVersion {
		if err := m.fits(version); err != nil {
			return err
		}

		m.view(ctx, conn, names)

		return nil
	}

	// Before a table is made: some databases take the statements of others, and fail in the middle.
	if err := checkDialect(ctx, conn, m.dialect); err != nil {
		return err
	}

	if err := execute(ctx, conn, names.Replace(rawFile(m.dialect, "versions"))); err != nil {
		return err
	}

	// SQLite must not find out in the middle that somebody else writes. In MySQL a transaction ends with the first change of
	// the schema, so that every step of a migration has to bear being executed twice.
	begin := "START TRANSACTION" // what BEGIN alone begins in MariaDB's mode ORACLE is a block
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

// undo rolls back, without which the connection is of no use anyway.
func undo(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBeyond)
	defer cancel()

	_, _ = conn.ExecContext(ctx, "ROLLBACK")
}

// view makes the view for people if it is missing, as in tables of builds that had none. The store does not need it, so a role without the
// right to make it goes without.
func (m *migration) view(ctx context.Context, at querier, names *strings.Replacer) {
	rows, err := at.QueryContext(ctx, names.Replace("SELECT 1 FROM {readable} WHERE 1 = 0"))
	if err == nil {
		_, err = scan(rows)
	}

	if m.dialect.missing(err) {
		_ = execute(ctx, at, names.Replace(rawFile(m.dialect, "view")))
	}
}

// steps executes the migrations that are missing, in a transaction.
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

// fits refuses a schema that this build does not know.
func (m *migration) fits(version int) error {
	if version > schemaVersion {
		return fmt.Errorf("%w: table %s has version %d, this build knows %d: use a newer build, or another table",
			ErrNewerSchema, m.table, version, schemaVersion)
	}

	return nil
}

// execute executes the statements of a text, each of which ends with a semicolon at the end of a line.
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

// readVersion is the version that a statement reads.
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
