package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// keeping is how a database keeps the table.
type keeping struct {
	// schema is the schema of the table, or its database in MySQL.
	schema string
	// by is the persistence in PostgreSQL, or the engine in MySQL.
	by string
	// namesakes is the number of tables with this name, in all schemas.
	namesakes integer
}

// find finds the table as the next connection of the pool sees it. It returns false in SQLite, where all connections see the same schema.
func (s *Store) find(ctx context.Context) (kept keeping, found bool, err error) {
	var args []any

	switch s.dialect {
	case PostgreSQL:
		args = []any{s.at.quoted(PostgreSQL)}
	case MySQL:
		args = []any{s.at.schema, s.at.name}
	default:
		return kept, false, nil
	}

	var schema, by sql.NullString

	found, err = s.pool().query(ctx, readFile(s.dialect, "table"), args, &schema, &by, &kept.namesakes)
	kept.schema, kept.by = schema.String, by.String

	return kept, found, err
}

// pin adds the schema of the table to all statements. Another connection may have another search_path, or another current database, and
// would see another table or none.
func (s *Store) pin(ctx context.Context) error {
	kept, found, err := s.find(ctx)
	if err != nil || !found {
		return err
	}

	s.at.schema = kept.schema
	s.load()

	return nil
}

// checkTable judges how the table is kept. checkSchema checks that it exists.
func (s *Store) checkTable(ctx context.Context, j *judge) {
	kept, found, err := s.find(ctx)

	switch {
	case err != nil:
		j.problem("table", fmt.Errorf("sqlstore: check: reading how table %s is kept: %w", s.table, err))
	case !found:
	case s.dialect == MySQL && kept.by != "InnoDB":
		j.problem("table", fmt.Errorf("sqlstore: table %s has the engine %s, which loses acknowledged commits: "+
			"ALTER TABLE … ENGINE = InnoDB", s.table, kept.by))
	case s.dialect == PostgreSQL && kept.by == "u":
		j.problem("table", fmt.Errorf("sqlstore: table %s, or a partition of it, is UNLOGGED, so that a crash of the server empties it, "+
			"and no replica has it: ALTER TABLE … SET LOGGED", s.table))
	case s.dialect == PostgreSQL && kept.by == "t":
		j.problem("table", fmt.Errorf("sqlstore: table %s is temporary, so that only one connection sees it: run sqlstore.Migrate "+
			"on a connection without that table", s.table))
	}

	if s.dialect == PostgreSQL && s.table.schema == "" && kept.namesakes > 1 {
		j.warning("search_path", fmt.Sprintf("%d schemas have a table %s: this store uses the one in %s, and another process may "+
			"find another one: name it, as in WithTable(\"%s.%s\")", kept.namesakes, s.table, kept.schema, kept.schema, s.table))
	}
}

// checkReadOnly tests whether a read-only server of MySQL still lets this user write.
func (s *Store) checkReadOnly(ctx context.Context, j *judge) {
	if value := j.settings["read_only"]; value == "" || value == "OFF" {
		return
	}

	// There is no such record.
	_, err := s.db.ExecContext(ctx, s.sql.forget, make([]byte, len(store.Key{})), int64(0), []byte{})

	if s.dialect.readOnly(err) {
		j.problem("read_only", fmt.Errorf("sqlstore: read_only is %s: %s: %w", j.settings["read_only"], readOnly, err))

		return
	}

	j.warn("read_only", j.settings["read_only"], "users without special rights cannot write: connect to the primary")
}

// checkBytes tests whether bytes arrive at MySQL unchanged. The driver sends them as text, which the server converts from the character set
// of the client to that of the connection.
func (s *Store) checkBytes(ctx context.Context, settings map[string]string) error {
	sent := make([]byte, 256)
	for i := range sent {
		sent[i] = byte(i)
	}

	var arrived string

	_, err := s.pool().query(ctx, "SELECT HEX(?)", []any{sent}, &arrived)

	switch {
	case err == nil && strings.EqualFold(arrived, hex.EncodeToString(sent)):
		return nil
	case err != nil && !reported(err):
		return fmt.Errorf("sqlstore: check: testing whether bytes arrive unchanged: %w", err)
	}

	return fmt.Errorf("sqlstore: bytes do not arrive unchanged at the database: character_set_client is %s and "+
		"character_set_connection is %s: give all connections one character set, as the parameter charset=utf8mb4 of "+
		"go-sql-driver/mysql does (%w)",
		settings["character_set_client"], settings["character_set_connection"], cmp.Or(err, errMangled))
}

// errMangled means that the server changed bytes and accepted them.
var errMangled = errors.New("the server converted them")
