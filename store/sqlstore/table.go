package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// DefaultTable is the name of the table where WithTable gives none.
const DefaultTable = "onlyonce_records"

// namePattern is what a name may be made of. Nothing in it can end a quoted name, and 48 leaves room for the suffixes of
// indexes within the 63 bytes of PostgreSQL.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

// table is where the records are: a name, and the schema or database it is in, which may be empty.
type table struct {
	schema, name string
}

func parseTable(given string) (table, error) {
	t := table{name: given}
	if schema, name, ok := strings.Cut(given, "."); ok {
		t = table{schema: schema, name: name}

		if !namePattern.MatchString(schema) {
			return table{}, nameError(given)
		}
	}

	if !namePattern.MatchString(t.name) {
		return table{}, nameError(given)
	}

	return t, nil
}

func nameError(given string) error {
	return fmt.Errorf("sqlstore: WithTable(%q): give a name such as %q or %q, of letters, digits and underscores, "+
		"each part at most 48 long and beginning with no digit", given, DefaultTable, "billing."+DefaultTable)
}

// String is the name as it was given.
func (t table) String() string {
	if t.schema == "" {
		return t.name
	}

	return t.schema + "." + t.name
}

// channelPattern is a name of a channel of PostgreSQL that needs no quotes. LISTEN cuts a longer one off, and pg_notify refuses it.
var channelPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// channel is the name of the channel for notifications about the table, which needs no quotes. If that of the table would, it is part of
// its hash instead.
func (t table) channel() string {
	name := strings.ToLower(strings.ReplaceAll(t.String(), ".", "_"))
	if channelPattern.MatchString(name) {
		return name
	}

	sum := sha256.Sum256([]byte(t.String()))

	return "onlyonce_" + hex.EncodeToString(sum[:8])
}

// quote quotes a name, which may be any that a database has.
func (d Dialect) quote(name string) string {
	mark := `"`
	if d == MySQL {
		mark = "`"
	}

	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

// quoted is the name of the table in a statement.
func (t table) quoted(d Dialect) string {
	if t.schema == "" {
		return d.quote(t.name)
	}

	return d.quote(t.schema) + "." + d.quote(t.name)
}

// names are what the SQL files call the table and what belongs to it, quoted.
func (t table) names(d Dialect) *strings.Replacer {
	quote := d.quote

	in := ""
	if t.schema != "" {
		in = quote(t.schema) + "."
	}

	// An index is in the schema of its table. In PostgreSQL the name of the index has no schema. In SQLite the name of the index has the
	// schema, and the name of the table has none.
	table, index := t.quoted(d), func(suffix string) string { return quote(t.name + suffix) }
	indexed := table

	if d == SQLite {
		indexed = quote(t.name)
		index = func(suffix string) string { return in + quote(t.name+suffix) }
	}

	return strings.NewReplacer(
		"{table}", table,
		"{indexed}", indexed,
		"{versions}", in+quote(t.name+"_schema"),
		"{readable}", in+quote(t.name+"_readable"),
		"{unsettled}", index("_unsettled"),
		"{expiring}", index("_expiring"),
		"{lasting}", index("_lasting"),
	)
}
