package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// errDialect is matched by the error about a database with another dialect.
var errDialect = errors.New("sqlstore: the dialect does not fit the database")

// checkDialect returns an error if the database has another dialect. A database that does not identify itself may be a compatible one.
func checkDialect(ctx context.Context, at querier, d Dialect) error {
	is, name := whichDatabase(ctx, at)
	if is == d || is == 0 {
		return nil
	}

	return fmt.Errorf("%w: %v is configured, and the database is %s: use sqlstore.%v", errDialect, d, name, is)
}

// whichDatabase identifies the database. The dialect is zero if the database does not identify itself.
func whichDatabase(ctx context.Context, at querier) (d Dialect, name string) {
	var version string

	if found, err := (access{querier: at}).query(ctx, "SELECT version()", nil, &version); found && err == nil {
		return whichVersion(version)
	}

	if found, err := (access{querier: at}).query(ctx, "SELECT sqlite_version()", nil, &version); found && err == nil {
		return SQLite, "SQLite " + version
	}

	return 0, ""
}

// whichVersion parses the result of "SELECT version()".
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
