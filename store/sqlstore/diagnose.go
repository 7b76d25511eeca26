package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// Diagnose implements [store.Diagnoser]. It examines what [Store.Check] examines, and the indexes of the table. It takes at most 15 s.
func (s *Store) Diagnose(ctx context.Context) []store.Diagnosis {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	j, err := s.examine(ctx)
	if err != nil {
		return []store.Diagnosis{{
			Check: "connection", Severity: store.SeverityFail, Found: strings.TrimPrefix(err.Error(), "sqlstore: "),
			Remedy: s.dialect.reach(),
		}}
	}

	s.checkIndexes(ctx, j)

	server := store.Diagnosis{Check: "version", Found: s.dialect.String() + " " + j.version}

	return append([]store.Diagnosis{server}, j.found...)
}

// reach returns the remedy for a database that cannot be reached.
func (d Dialect) reach() string {
	if d == SQLite {
		return "correct the path of the file, or the rights to read and write it"
	}

	return "start the database, or correct the address, the user or the password in the URL"
}

// Diagnose examines a database without a Store, also if New would fail. See [Store.Diagnose]. The error is about the options, or a nil db.
func Diagnose(ctx context.Context, db *sql.DB, d Dialect, opts ...Option) ([]store.Diagnosis, error) {
	if db == nil {
		return nil, errors.New("sqlstore: Diagnose: db is nil: pass the result of sql.Open")
	}

	s, err := newStore(db, d, opts)
	if err != nil {
		return nil, err
	}

	if err := s.pin(ctx); err != nil {
		return s.Diagnose(ctx), nil //nolint:nilerr // Diagnose reports the same problem
	}

	return s.Diagnose(ctx), nil
}

// checkIndexes warns about missing or unfinished indexes of the table. Operations are slower without them, but do not fail.
func (s *Store) checkIndexes(ctx context.Context, j *judge) {
	var (
		query string
		args  []any
		want  integer
		have  integer
	)

	switch s.dialect {
	case PostgreSQL:
		query = "SELECT count(*) FROM pg_catalog.pg_index WHERE indrelid = to_regclass($1::text) AND indisvalid AND indisready"
		args, want = []any{s.at.quoted(PostgreSQL)}, 4
	case MySQL:
		query = "SELECT count(DISTINCT index_name) FROM information_schema.statistics WHERE table_schema = coalesce(nullif(?, ''), database()) " +
			"AND table_name = ?"
		args, want = []any{s.at.schema, s.at.name}, 2
	case SQLite:
		query, args, want = "SELECT count(*) FROM pragma_index_list(?)", []any{s.at.name}, 4
	}

	const check = "indexes"

	switch _, err := s.pool().query(ctx, query, args, &have); {
	case err != nil:
		j.warning(check, "the indexes of table "+s.table.String()+" cannot be counted: "+err.Error())
	case have < want:
		j.note(store.Diagnosis{
			Check: check, Severity: store.SeverityWarn,
			Found:  fmt.Sprintf("%d of %d indexes of table %s are there: lists and sweeps read the whole table", have, want, s.table),
			Remedy: "execute what sqlstore.Schema prints",
		})
	default:
		j.note(store.Diagnosis{Check: check, Found: fmt.Sprintf("%d indexes are there", have)})
	}
}
