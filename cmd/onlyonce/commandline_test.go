//go:build unix

package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/operate"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// mustBeGolden compares a text with a file in testdata.
func mustBeGolden(t *testing.T, name, got string) {
	t.Helper()

	path := filepath.Join("testdata", name+".txt")

	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run the tests with -update to write it):\n%s", path, diff)
	}
}

func TestHelpOfEveryCommandIsAsItWas(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"", "doctor", "list", "show", "resolve", "forget", "watch", "capacity", "bench"} {
		help := command(t, "", append(strings.Fields(name), "--help")...).mustEnd(t, statusOK).out
		mustBeGolden(t, "help"+strings.TrimPrefix("-"+name, "-"), help)

		for line := range strings.Lines(help) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > defaultWidth {
				t.Errorf("%s --help has a line of %d characters: %s", name, n, line)
			}
		}

		if !strings.Contains(help, "Examples:") {
			t.Errorf("%s --help has no example", name)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()

	if got := command(t, "", "--version").mustEnd(t, statusOK).out; got != "onlyonce version "+version()+"\n" || version() == "" {
		t.Errorf("it prints %q", got)
	}
}

func TestCapacityPrintsWhatIsNeeded(t *testing.T) {
	t.Parallel()

	for name, args := range map[string][]string{
		"capacity-redis":    {"--rps", "1000000", "--retention", "1h", "--bytes", "300", "--replicas", "1"},
		"capacity-database": {"--rps", "500", "--kind", "postgresql", "--shard", "1TB", "--shard-rps", "4000"},
	} {
		mustBeGolden(t, name, command(t, "", append([]string{"capacity"}, args...)...).mustEnd(t, statusOK).out)
	}
}

func TestWrongCommandLinesAreRefusedWithStatus2(t *testing.T) {
	t.Parallel()

	const id = "0123456789abcdef"

	for want, args := range map[string][]string{
		`unknown command "frob"`:          {"frob"},
		"unknown flag: --frob":            {"list", "--frob"},
		"no store":                        {"list"},
		"cannot see records in memory":    {"list", "memory:"},
		`unknown store kind "ftp"`:        {"list", "ftp://host"},
		"without a scheme":                {"list", "localhost"},
		"without // after redis":          {"list", "redis:user:s3cr3t@host"},
		"without // after mysql":          {"list", "mysql:user:s3cr3t@host/db"},
		"the path behind the host is not": {"list", "redis://ann:s3cr3t@127.0.0.1:1/no"},
		"must be written as % and two":    {"doctor", "redis://u:a%b@127.0.0.1:1"},
		`"x": use an address and a port`:  {"console", "redis://a", "--listen", "x"},
		`onlyonce: --state: unknown`:      {"list", "redis://a", "--state", "gone"},
		"two store URLs":                  {"list", "redis://a", "--store", "redis://b"},
		"--prefix is for Redis":           {"list", "sqlite:x.db", "--prefix", "p"},
		"--table is for databases":        {"list", "redis://a", "--table", "t"},
		"--timeout is -1s":                {"list", "redis://a", "--timeout", "-1s"},
		"unknown state":                   {"list", "redis://a", "--state", "lost"},
		"cannot be listed":                {"list", "redis://a", "--state", "completed"},
		"at least one of the flags":       {"resolve", id, "--reason", "r"},
		"none of the others can be":       {"resolve", id, "--happened", "--did-not-happen", "--reason", "r"},
		"without an answer":               {"resolve", id, "--happened", "--reason", "r"},
		"omit --response":                 {"resolve", id, "--did-not-happen", "--error", "NOT_FOUND", "--reason", "r"},
		"--message without --error":       {"resolve", id, "--happened", "--raw", "@f", "--message", "m", "--reason", "r"},
		"without message types":           {"resolve", id, "--happened", "--response", "{}", "--reason", "r"},
		`--raw "f": write @FILE`:          {"resolve", id, "--happened", "--raw", "f", "--reason", "r"},
		"no reason":                       {"resolve", id, "--did-not-happen"},
		"give --reason":                   {"forget", id, "--reason", " "},
		"no terminal":                     {"resolve", id, "--did-not-happen", "--reason", "r"},
		`required flag(s) "rps" not set`:  {"capacity"},
		"0 calls per second":              {"capacity", "--rps", "0"},
		`"much" is not a size`:            {"capacity", "--rps", "1", "--shard", "much"},
		"choose the kind of store with":   {"capacity", "--rps", "1", "--store", "mysql://u:p@host/db"},
		"the password contains / ?":       {"list", "postgres://u:a/b@host/db"},
		"the database name after":         {"list", "mysql://u:p@host"},
		"sqlite: and the path":            {"list", "sqlite:"},
		"a database in memory":            {"list", "sqlite::memory:"},
		"--duration must be positive":     {"bench", "redis://a", "--callers", "0"},
		"ID and --key: give one":          {"show", id, "--key", "k", "--store", "SQLITE"},
		"--key without --method":          {"show", "--key", "k", "--store", "SQLITE"},
		"no record named: give its ID":    {"show", "--store", "SQLITE"},
		"is not an ID: give 6 to 64":      {"show", "xyz", "--store", "SQLITE"},
		"--interval is -1s: it":           {"watch", "redis://a", "--interval", "-1s"},
		`invalid argument "x" for "--old`: {"list", "--older", "x"},
	} {
		for i := range args {
			if args[i] == "SQLITE" {
				args[i] = sqliteURL(t)
			}
		}

		command(t, "", args...).mustEnd(t, statusUsage).mustSay(t, want, "--help").mustNotSay(t, "s3cr3t")
	}
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	t.Parallel()

	for _, address := range []string{
		"redis://ann:s3cr3t@127.0.0.1:1", "redis://ann:s3cr3t@127.0.0.1:1/no", "redis://:s3cr3t@[::1", "rediss://ann:s3cr3t@127.0.0.1:1",
		"redis+cluster://ann:s3cr3t@127.0.0.1:1", "redis+sentinel://127.0.0.1:1?master_name=m&sentinel_password=s3cr3t",
		"postgres://ann:s3cr3t@127.0.0.1:1/db", "postgres://ann:s3cr3t@127.0.0.1:x/db", "postgres://127.0.0.1:1/db?password=s3cr3t",
		"postgres://ann:s3cr3t%zz@127.0.0.1/db", "mysql://ann:s3cr3t@127.0.0.1:1/db", "mysql://ann:s3cr3t@/db", "mysql://s3cr3t",
		"ftp://ann:s3cr3t@host", "memory:s3cr3t",
	} {
		for _, args := range [][]string{{"list"}, {"doctor"}, {"doctor", "--json"}, {"bench", "--duration", "1s"}} {
			args = append(args, "--timeout", "1s")

			if got := command(t, address, args...).mustNotSay(t, "s3cr3t"); got.status == statusOK {
				t.Errorf("%q with %s is accepted", args, address)
			}
		}
	}
}

// engineOn returns an engine on the store at an address, until the test ends.
func engineOn(t *testing.T, address string) *onlyonce.Engine {
	t.Helper()

	a := &app{env: func(string) string { return address }, store: storeFlags{timeout: time.Minute}}

	engine, done, err := a.engine()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(done)

	return engine
}

// unsettled makes a record with an unknown outcome in SQLite. Its method and key contain characters that are unsafe on a terminal.
func unsettled(t *testing.T, address string) store.Key {
	t.Helper()

	engine := engineOn(t, address)

	call := onlyonce.Call{Method: evilMethod, Key: "order-17"}
	_, _ = engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, context.DeadlineExceeded })

	rec, err := engine.Lookup(t.Context(), onlyonce.Identity{Method: evilMethod, Key: "order-17"})
	if err != nil || !rec.Unknown {
		t.Fatalf("the record is %+v, %v", rec, err)
	}

	return rec.ID
}

// evilMethod clears the screen and reverses the order of the text.
const evilMethod = "pay\x1b[2J\u202e"

func TestControlCharactersOfRecordsAreEscaped(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	id := unsettled(t, address)

	for _, args := range [][]string{{"list"}, {"show", id.String()}, {"show", "--method", evilMethod, "--key", "order-17"}} {
		command(t, address, args...).mustEnd(t, statusOK).mustSay(t, `pay\x1b[2J\u202e`).mustNotSay(t, "\x1b", "\u202e", "order-17")
	}

	command(t, address, "show", id.String(), "--show-key").mustEnd(t, statusOK).mustSay(t, "order-17")
	command(t, address, "list", "--show-key").mustEnd(t, statusOK).mustSay(t, "order-17")
}

func TestControlCharactersAreEscapedInJSONAndMeanTheSame(t *testing.T) {
	t.Parallel()

	const text = "a\x1b[2J\x7f\u009b31m\u202e\u2028\U000e0041\xff é λ 😀"

	a, out := onPaper()
	if err := a.printJSON(map[string]string{"text": text}); err != nil {
		t.Fatal(err)
	}

	for _, r := range strings.TrimSuffix(strings.ReplaceAll(out.String(), "\n", ""), "}") {
		if !unicode.IsPrint(r) {
			t.Errorf("%U is printed: %q", r, out)
		}
	}

	if want := strings.ToValidUTF8(text, "\ufffd"); keysOf(t, out.String())["text"] != want {
		t.Errorf("%s is not %q", out, want)
	}
}

func TestErrorsAreOneLineAndNameTheProgramOnce(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	id := unsettled(t, address).String()

	for _, got := range []printed{
		command(t, "postgres://ann:s3cr3t@localhost:1/db", "list").mustEnd(t, statusFailed),
		command(t, address, "resolve", id, "--did-not-happen", "--reason", "r", "--yes").mustEnd(t, statusFailed),
		command(t, address, "forget", id, "--reason", "r", "--yes").mustEnd(t, statusFailed),
	} {
		if strings.Count(got.err, "\n") != 1 || strings.Contains(got.err, `\t`) || strings.Count(got.err, "onlyonce:") != 1 {
			t.Errorf("the error is %q", got.err)
		}
	}
}

func TestSettledRecordIsNamedByAllDigits(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	id := unsettled(t, address).String()

	printed := command(t, address, "resolve", id[:shortID], "--happened", "--error", "ERROR", "--reason", "seen", "--yes").mustEnd(t, statusOK)
	printed.mustSay(t, "is completed", "onlyonce show", id)

	for line := range strings.Lines(printed.out) {
		if len(line) > defaultWidth+1 {
			t.Errorf("a line has %d characters: %s", len(line), line)
		}
	}

	command(t, address, "show", id).mustEnd(t, statusOK).mustSay(t, "seen")
	command(t, address, "forget", id, "--reason", "erase", "--yes").mustEnd(t, statusOK).mustNotSay(t, "onlyonce show")
}

// keysOf are the names of the fields of a JSON object.
func keysOf(t *testing.T, text string) map[string]any {
	t.Helper()

	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}

	return object
}

func mustHaveFields(t *testing.T, object map[string]any, names ...string) {
	t.Helper()

	got := slices.Sorted(maps.Keys(object))
	slices.Sort(names)

	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("the fields are others:\n%s", diff)
	}
}

func TestJSONHasTheFieldsThatScriptsRead(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	id := unsettled(t, address).String()
	record := []string{
		"id", "method", "state", "unknown", "code", "since", "age_seconds", "guarantee", "fence", "attempts", "first_start", "last_start",
		"ended_at", "owner_alive_until", "retention_seconds", "doubtful", "looked_up_at", "request_bytes", "answer_bytes",
		"answer_too_large", "resolved",
	}

	list := keysOf(t, command(t, address, "list", "--json").mustEnd(t, statusOK).out)
	mustHaveFields(t, list, "records", "selected")

	records, _ := list["records"].([]any)
	if len(records) != 1 {
		t.Fatalf("the list is %v", list)
	}

	listed, _ := records[0].(map[string]any)
	mustHaveFields(t, listed, record...)

	shown := keysOf(t, command(t, address, "show", id, "--json", "--show-key").mustEnd(t, statusOK).out)
	mustHaveFields(t, shown, append(slices.Clone(record), "key")...)

	if shown["id"] != id || shown["state"] != "held" || shown["key"] != "order-17" || shown["unknown"] != true {
		t.Errorf("the record is %v", shown)
	}

	answer := filepath.Join(t.TempDir(), "answer")
	if err := os.WriteFile(answer, []byte("paid"), 0o600); err != nil {
		t.Fatal(err)
	}

	settled := keysOf(t, command(t, address, "resolve", id, "--happened", "--raw", "@"+answer, "--reason", "seen", "--by", "ann",
		"--yes", "--json").mustEnd(t, statusOK).out)
	mustHaveFields(t, settled, "id", "verdict", "from", "to", "code", "by", "reason", "runs_again", "retention_seconds")

	shown = keysOf(t, command(t, address, "show", id, "--json", "--payload").mustEnd(t, statusOK).out)
	if shown["state"] != "completed" || shown["settled_by"] != "ann" || shown["reason"] != "seen" {
		t.Errorf("the record is %v", shown)
	}

	if got, _ := shown["answer"].(map[string]any); got["base64"] != "cGFpZA==" {
		t.Errorf("the answer is %v", got)
	}

	doctor := keysOf(t, command(t, address, "doctor", "--json").mustEnd(t, statusOK).out)
	mustHaveFields(t, doctor, "severity", "fit", "checks")

	bench := keysOf(t, command(t, address, "bench", "--json", "--duration", "100ms", "--callers", "1").mustEnd(t, statusOK).out)
	mustHaveFields(t, bench, "duration_seconds", "callers", "calls", "calls_per_second", "call", "claim", "completion", "errors",
		"records_left")

	if bench["records_left"] != 0.0 {
		t.Errorf("the bench has left records: %v", bench)
	}

	forgotten := command(t, address, "forget", id, "--reason", "asked to", "--yes").mustEnd(t, statusOK)
	forgotten.mustSay(t, "is removed")
	command(t, address, "show", id).mustEnd(t, statusFailed).mustSay(t, "no record")
}

func TestRecordOfACallWithScopeFieldsIsFoundByItsKey(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	engine := engineOn(t, address)

	call := onlyonce.Call{Scope: interceptor.JoinScope("kiosk-1", "north", "gate-2"), Method: "/garage.v1.Gates/Open", Key: "order-17"}
	if _, err := engine.Do(t.Context(), call, func(context.Context) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}

	show := func(fields ...string) printed {
		t.Helper()

		return command(t, address, append([]string{"show", "--key", call.Key, "--method", call.Method, "--scope", "kiosk-1"}, fields...)...)
	}
	show("--scope-field", "north").mustEnd(t, statusFailed).mustSay(t, "no record", "--scope-field")
	show("--scope-field", "north", "--scope-field", "gate-2").mustEnd(t, statusOK).mustSay(t, call.Method)
}

func TestRecordOfAServerWithASharedScopeIsFoundByTheScopeInTheHelp(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	post(failOnce(t, address), "order-17")

	command(t, address, "show", "--key", "order-17", "--method", "POST").mustEnd(t, statusFailed).mustSay(t, "no record", "--scope")
	command(t, address, "show", "--key", "order-17", "--method", "POST", "--scope", "shared").mustEnd(t, statusOK).
		mustSay(t, "the outcome is unknown")
	command(t, "", "show", "--help").mustSay(t, "shared if the server")
}

func TestDoctorReportsByItsStatusWhetherAStoreIsFit(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	command(t, "", "doctor", address).mustEnd(t, statusOK).mustSay(t, "The store is fit", "indexes", "journal_mode", "clock", "schema")

	unsettled(t, address)
	command(t, "", "doctor", address).mustEnd(t, statusOK).mustSay(t, "records with an unknown outcome that must be settled: 1")
	command(t, "", "doctor", address, "--strict").mustEnd(t, statusFailed)

	// A database without the tables.
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	command(t, "", "doctor", "sqlite:"+empty).mustEnd(t, statusFailed).mustSay(t, "not fit", "tables", "sqlstore.Migrate")
	command(t, "", "doctor", "sqlite:"+empty+".none").mustEnd(t, statusFailed).mustSay(t, "no such file")
}

func TestMissingIndexesAreAWarning(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)

	db, dialect, err := openDatabase(address, kindSQLite)
	if err != nil || dialect != sqlstore.SQLite {
		t.Fatal(err)
	}
	defer db.Close()

	var name string

	const query = "SELECT name FROM pragma_index_list('onlyonce_records') WHERE origin = 'c'"
	if err := db.QueryRowContext(t.Context(), query).Scan(&name); err != nil {
		t.Fatal(err)
	}

	if _, err := db.ExecContext(t.Context(), `DROP INDEX "`+name+`"`); err != nil {
		t.Fatal(err)
	}

	command(t, "", "doctor", address).mustEnd(t, statusOK).mustSay(t, "3 of 4 indexes")
}

func TestListReportsAnEmptyStore(t *testing.T) {
	t.Parallel()

	command(t, sqliteURL(t), "list").mustEnd(t, statusOK).mustSay(t, "No records.")
}

func TestCompletionIsThereForEveryShell(t *testing.T) {
	t.Parallel()

	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		command(t, "", "completion", shell).mustEnd(t, statusOK).mustSay(t, "onlyonce")
	}

	command(t, "", "__complete", "list", "--state", "").mustEnd(t, statusOK).mustSay(t, string(operate.StateAbandoned))
}
