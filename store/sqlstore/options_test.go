package sqlstore

import (
	"database/sql"
	"math"
	"strings"
	"testing"
	"time"
)

const century = 100 * 365 * 24 * time.Hour

func TestF68EveryOptionWorksOrIsRefusedWithItsRange(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		name   string
		opt    Option
		refuse string // what the error says, or empty
	}{
		{"a timeout of nothing", WithTimeout(0), "at least 1ms"},
		{"a negative timeout", WithTimeout(-time.Second), "at least 1ms"},
		{"a timeout of less than a millisecond", WithTimeout(time.Millisecond - 1), "at least 1ms"},
		{"the shortest timeout", WithTimeout(time.Millisecond), ""},
		{"a timeout of a century", WithTimeout(century), ""},
		{"the longest timeout", WithTimeout(math.MaxInt64), ""},
		{"no pause between sweeps", WithSweep(0, 1), "at least 1ms"},
		{"a negative pause between sweeps", WithSweep(math.MinInt64, 1), "at least 1ms"},
		{"a pause of less than a millisecond", WithSweep(1, 1), "at least 1ms"},
		{"empty batches", WithSweep(time.Second, 0), "at least 1"},
		{"negative batches", WithSweep(time.Second, math.MinInt), "at least 1"},
		{"the shortest pause", WithSweep(time.Millisecond, 1), ""},
		{"the longest pause and the largest batch", WithSweep(math.MaxInt64, math.MaxInt), ""},
		{"a negative life", WithUnknownRetention(-1), "positive time, or 0"},
		{"an endless life", WithUnknownRetention(0), ""},
		{"the shortest life", WithUnknownRetention(1), ""},
		{"the longest life", WithUnknownRetention(math.MaxInt64), ""},
		{"negative transactions", WithMaxTransactions(-1), "at least 1, or 0"},
		{"the default of transactions", WithMaxTransactions(0), ""},
		{"the most transactions", WithMaxTransactions(math.MaxInt), ""},
		{"no such level", WithIsolation(99), "[Default"},
		{"a negative level", WithIsolation(-1), "[Default"},
		{"a level of other databases", WithIsolation(sql.LevelSnapshot), "[Default"},
		{"the highest level", WithIsolation(sql.LevelSerializable), ""},
		{"no table", WithTable(""), "at most 48"},
		{"a table with a longer name", WithTable(strings.Repeat("t", 49)), "at most 48"},
		{"a table with the longest name", WithTable(strings.Repeat("t", 48)), ""},
	} {
		for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
			_, err := configure(d, []Option{c.opt})
			if (err == nil) != (c.refuse == "") || err != nil && !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%v: %s: got %v, want %q in it", d, c.name, err, c.refuse)
			}
		}
	}

	// F98: nobody looks for the schema then, and it may differ between connections.
	for d, refuse := range map[Dialect]bool{PostgreSQL: true, MySQL: true, SQLite: false} {
		if _, err := configure(d, []Option{WithoutCheck()}); (err != nil) != refuse {
			t.Errorf("%v without the check and without a schema: %v", d, err)
		}

		if _, err := configure(d, []Option{WithoutCheck(), WithTable("billing.records")}); err != nil && d != SQLite {
			t.Errorf("%v without the check, and with a schema: %v", d, err)
		}
	}

	if _, err := configure(SQLite, []Option{WithIsolation(sql.LevelReadCommitted)}); err == nil {
		t.Error("SQLite has READ COMMITTED")
	}
}

func TestF68SpansDoNotOverflow(t *testing.T) {
	t.Parallel()

	const longest = math.MaxInt64 / int64(time.Millisecond)

	for _, c := range []struct {
		all  []time.Duration
		want int64
	}{
		{nil, 0},
		{[]time.Duration{1}, 1},
		{[]time.Duration{1, 1}, 1},
		{[]time.Duration{time.Millisecond - 1, time.Millisecond - 1}, 2},
		{[]time.Duration{century, century, century}, 3 * century.Milliseconds()},
		{[]time.Duration{math.MaxInt64}, longest + 1},
		{[]time.Duration{math.MaxInt64, math.MaxInt64, math.MaxInt64}, 3*longest + 3},
	} {
		if got := span(c.all...); got != c.want {
			t.Errorf("%v are %d ms, want %d", c.all, got, c.want)
		}
	}

	for ms, want := range map[integer]time.Duration{
		0: 0, 1: time.Millisecond, integer(longest): time.Duration(longest) * time.Millisecond,
		integer(longest) + 1: time.Duration(longest) * time.Millisecond, math.MinInt64: -time.Duration(longest) * time.Millisecond,
	} {
		if got := spanOf(ms); got != want {
			t.Errorf("%d ms are %v, want %v", ms, got, want)
		}
	}
}
