package sqlstore

import (
	"regexp"
	"strings"
	"testing"
)

func TestNamesThatTryToInjectAreRefused(t *testing.T) {
	t.Parallel()

	for _, name := range []string{
		"", ".", "a.", ".a", "a.b.c", "a b", `a"`, `a"; DROP TABLE users; --`, "a`", "a'", "a;", "a-b", "1a", "ä", "a\x00", "a\n", "{table}",
		strings.Repeat("a", 49), "a." + strings.Repeat("a", 49),
	} {
		for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
			if _, err := Schema(d, WithTable(name)); err == nil {
				t.Errorf("%v: %q is taken for a name", d, name)
			}
		}
	}
}

func TestNamesAreQuotedWhereverTheyAppear(t *testing.T) {
	t.Parallel()

	for d, quote := range map[Dialect]string{PostgreSQL: `"`, MySQL: "`", SQLite: `"`} {
		for _, name := range []string{"Strange_1", "Elsewhere.Strange_1"} {
			text, err := Schema(d, WithTable(name))
			if err != nil {
				t.Fatal(err)
			}

			all := statementsOf(t, d, name)
			all["schema"] = text

			for _, statement := range all {
				for _, part := range []string{"Strange_1", "Elsewhere"} {
					rest := statement
					for {
						before, after, found := strings.Cut(rest, part)
						if !found {
							break
						}

						if !strings.HasSuffix(before, quote) {
							t.Errorf("%v: %s is not quoted in %s", d, part, statement)
						}

						rest = after
					}
				}

				if strings.ContainsAny(statement, "{}") {
					t.Errorf("%v: a name is left out in %s", d, statement)
				}
			}
		}
	}
}

// statementsOf are all statements of a dialect by their names, without those that it does not have.
func statementsOf(t *testing.T, d Dialect, name string) map[string]string {
	t.Helper()

	parsed, err := parseTable(name)
	if err != nil {
		t.Fatal(err)
	}

	s := loadStatements(d, parsed)
	all := map[string]string{
		"read": s.read, "read_locked": s.readLocked, "insert": s.insert, "update": s.update, "claim": s.claim,
		"complete": s.complete, "renew": s.renew, "list": s.list, "list_running": s.listRunning, "sweep": s.sweep, "version": s.version,
		"notify": s.notify, "join": s.join, "sweep_unsettled": s.sweepUnsettled, "forget": s.forget, "join_telling": s.joinTelling,
	}

	for name, statement := range all {
		if statement == "" {
			delete(all, name)
		}
	}

	return all
}

func TestChannelsFitAndDifferWithTheirTables(t *testing.T) {
	t.Parallel()

	schema, name := strings.Repeat("s", 48), strings.Repeat("t", 48)
	needsNoQuotes := regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
	seen := make(map[string]string)

	for _, odd := range []table{{"Ünïcode", "records"}, {"two words", "records"}, {"1st", "records"}, {`a"b`, "records"}} {
		if got := odd.channel(); !needsNoQuotes.MatchString(got) || seen[got] != "" {
			t.Errorf("%v has the channel %s", odd, got)
		} else {
			seen[got] = odd.String()
		}
	}

	for given, want := range map[string]string{
		"onlyonce_records":                  "onlyonce_records",
		"Billing.Records_2":                 "billing_records_2",
		schema + "." + name[:14]:            schema + "_" + name[:14], // the longest that fits
		schema + "." + name[:15]:            "",
		schema + "." + name[:16]:            "",
		schema + "." + name:                 "",
		"S" + schema[1:] + ".T_" + name[2:]: "",
	} {
		parsed, err := parseTable(given)
		if err != nil {
			t.Fatal(err)
		}

		got := parsed.channel()
		if !needsNoQuotes.MatchString(got) || want != "" && got != want {
			t.Errorf("%s has the channel %s, want %s", given, got, want)
		}

		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have the same channel", given, other)
		}

		seen[got] = given
	}
}
