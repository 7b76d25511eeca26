package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// DefaultTable is the default of [WithTable].
const DefaultTable = "onlyonce_records"

// namePattern matches valid names. No such name can end a quoted name. 48 characters leave room for the suffixes of indexes within the 63
// bytes of PostgreSQL.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)

// table is a name, and the schema or database of the table, which may be empty.
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

// String returns the name as it was configured.
func (t table) String() string {
	if t.schema == "" {
		return t.name
	}

	return t.schema + "." + t.name
}

// channelPattern matches names of channels of PostgreSQL that need no quotes. LISTEN truncates a longer name, and pg_notify refuses it.
var channelPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// channel returns the name of the channel for notifications about the table. It needs no quotes: if the name of the table does, a part of
// its hash is used.
func (t table) channel() string {
	name := strings.ToLower(strings.ReplaceAll(t.String(), ".", "_"))
	if channelPattern.MatchString(name) {
		return name
	}

	sum := sha256.Sum256([]byte(t.String()))

	return "onlyonce_" + hex.EncodeToString(sum[:8])
}

// quote quotes a name, which may be any name of the database.
func (d Dialect) quote(name string) string {
	mark := `"`
	if d == MySQL {
		mark = "`"
	}

	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

// quoted returns the quoted name of the table.
func (t table) quoted(d Dialect) string {
	if t.schema == "" {
		return d.quote(t.name)
	}

	return d.quote(t.schema) + "." + d.quote(t.name)
}

// names replaces the placeholders of the SQL files with quoted names.
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
