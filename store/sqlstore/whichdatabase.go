package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// errDialect is matched by errors about a database that speaks another dialect.
var errDialect = errors.New("sqlstore: the dialect does not fit the database")

// checkDialect reports a database that speaks another dialect. A database that does not say what it is may be one of those that are
// compatible.
func checkDialect(ctx context.Context, db *sql.DB, d Dialect) error {
	found, name := whichDatabase(ctx, db)
	if found == d || found == 0 {
		return nil
	}

	return fmt.Errorf("%w: %v is configured, and the database is %s: give sqlstore.%v", errDialect, d, name, found)
}

// whichDatabase asks the database what it is. The dialect is zero if it does not say so.
func whichDatabase(ctx context.Context, db *sql.DB) (d Dialect, name string) {
	var version string

	if db.QueryRowContext(ctx, "SELECT version()").Scan(&version) == nil {
		return whichVersion(version)
	}

	if db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version) == nil {
		return SQLite, "SQLite " + version
	}

	return 0, ""
}

// whichVersion reads what "SELECT version()" has returned.
func whichVersion(version string) (d Dialect, name string) {
	number, _, _ := strings.Cut(version, "-") // "10.11.6-MariaDB-0+deb12u1"

	switch words := strings.Fields(version); {
	case len(words) > 1 && words[0] == "PostgreSQL": // "PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu, …"
		return PostgreSQL, "PostgreSQL " + words[1]
	case strings.Contains(version, "MariaDB"):
		return MySQL, "MariaDB " + number
	case strings.Trim(number, "0123456789.") == "" && number != "": // "8.0.36"
		return MySQL, "MySQL " + number
	default:
		return 0, ""
	}
}
