package sqlstoretest_test

import (
	"database/sql"
	"net/url"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// works checks that a store on a database can do all operations.
func (k kind) works(t *testing.T, db *sql.DB) {
	t.Helper()

	s := k.on(t, db)

	for _, op := range operations() {
		claim := op.prepare(t, s)
		res, err := op.run(t.Context(), s, claim)
		must(t, res, err)

		if got := lookup(t, s, claim.Key).Record.State; got != op.state {
			t.Errorf("after %s the record is %v, want %v", op.name, got, op.state)
		}
	}

	orders := k.orders(t, db)
	alone, joined := engine(t, s, onlyonce.SingleTransaction), engine(t, s, onlyonce.JoinedTransaction)

	for _, status := range []onlyonce.Status{onlyonce.StatusExecuted, onlyonce.StatusReplayed} {
		call(t.Context(), alone, "single", orders.sell("single")).mustBe(t, status, "#1")
		call(t.Context(), joined, "joined", orders.join("joined")).mustBe(t, status, "#2")
	}

	expired := newClaim()
	expired.Retention = time.Millisecond
	start(t, s, expired)
	res, err := s.Complete(t.Context(), completion(expired, "paid"))
	end := must(t, res, err).Record.ExpiresAt

	eventually(t, "the retention ends", func() bool { return lookup(t, s, expired.Key).Now.After(end) })

	if n, err := s.Sweep(t.Context()); err != nil || n < 1 {
		t.Errorf("a sweep has deleted %d records, %v", n, err)
	}

	for _, err := range s.ListUnknown(t.Context()) {
		if err != nil {
			t.Error(err)
		}
	}
}

// settings are the parameters of go-sql-driver/mysql for variables of a session, as pairs of a name and a value.
func settings(pairs ...string) []string {
	var params []string

	for i := 0; i < len(pairs); i += 2 {
		params = append(params, pairs[i]+"="+url.QueryEscape("'"+pairs[i+1]+"'"))
	}

	return params
}

// F95, F96: each of these once lost claims, kept sweeps from ever working, or mangled keys.
func TestF95F96SettingsUnderWhichTheStoreCannotWorkAreRefused(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		for _, c := range []struct {
			params []string
			why    string
			only   string // the kind that has it
		}{
			{settings("completion_type", "CHAIN"), "completion_type is CHAIN", ""},
			{settings("completion_type", "RELEASE"), "completion_type is RELEASE", ""},
			{settings("sql_mode", "EMPTY_STRING_IS_NULL"), "EMPTY_STRING_IS_NULL", "MariaDB"},
			{settings("sql_mode", "ORACLE,EMPTY_STRING_IS_NULL"), "EMPTY_STRING_IS_NULL", "MariaDB"},
			{settings("character_set_client", "latin1"), "character_set_client is latin1", ""},
			{settings("character_set_connection", "latin1"), "character_set_connection is latin1", ""},
			{settings("collation_connection", "utf16_bin"), "character_set_connection is utf16", ""},
		} {
			if c.only != "" && c.only != k.name {
				continue
			}

			base := k.fresh(t)
			k.on(t, base.DB(t))
			refuses(t, k, pool(base.DB(t, c.params...)), c.why)
		}
	})
}

func TestF95F96UnderOtherSettingsTheStoreWorks(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		all := map[string][]string{
			"safe updates":   {"sql_safe_updates=1"},
			"latin1":         {"charset=latin1"},
			"binary":         {"charset=binary"},
			"no modes":       settings("sql_mode", ""),
			"ANSI":           settings("sql_mode", "ANSI"),
			"TRADITIONAL":    settings("sql_mode", "TRADITIONAL"),
			"odd modes":      settings("sql_mode", "HIGH_NOT_PRECEDENCE,NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION,PAD_CHAR_TO_FULL_LENGTH"),
			"interpolated":   {"interpolateParams=true", "sql_safe_updates=1"},
			"another client": append(settings("character_set_client", "latin1"), "interpolateParams=true"),
		}

		if k.name == "MariaDB" {
			all["ORACLE"] = settings("sql_mode", "ORACLE")
			all["MSSQL"] = settings("sql_mode", "MSSQL")
			all["SIMULTANEOUS_ASSIGNMENT"] = settings("sql_mode", "SIMULTANEOUS_ASSIGNMENT")
		}

		for name, params := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k.works(t, pool(k.fresh(t).DB(t, params...)))
			})
		}
	})
}

func TestF96TheCharacterSetOfTheDatabaseDoesNotMatter(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		for _, charset := range []string{"latin1", "ucs2", "utf32", "binary"} {
			db := k.base(t)

			var name string
			if err := db.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
				t.Fatal(err)
			}

			if _, err := db.ExecContext(t.Context(), "ALTER DATABASE "+name+" CHARACTER SET "+charset); err != nil {
				t.Fatal(err)
			}

			k.works(t, db)
		}
	})
}

// F96: the store was not checked, or another connection was. 30 of 30 such claims were once won, and could not be completed.
func TestF96NoClaimIsWonWithAMangledKey(t *testing.T) {
	each(t, mysqls(), func(t *testing.T, k kind) {
		t.Helper()

		for _, params := range [][]string{settings("character_set_client", "latin1"), settings("character_set_connection", "latin1")} {
			base := k.fresh(t)
			good, db := k.on(t, pool(base.DB(t))), pool(base.DB(t, params...))

			named := sqlstore.WithTable(base.Table(sqlstore.DefaultTable))

			s, err := newStore(db, k.dialect, named, sqlstore.WithoutCheck(), sqlstore.WithTimeout(unit))
			if err != nil {
				t.Fatal(err)
			}

			claim := newClaim()
			for i := range claim.Key {
				claim.Key[i] |= 0x80 // which is no ASCII
			}

			if res, err := s.Claim(t.Context(), claim); err == nil {
				t.Errorf("%v: a claim got applied=%t", params, res.Applied)
			}

			if _, tx, err := s.Begin(t.Context(), claim, time.Millisecond); err == nil {
				t.Errorf("%v: a transaction has begun: %v", params, tx != nil)
			}

			if n := k.rows(db).count(t); n != 0 {
				t.Errorf("%v: %d records", params, n)
			}

			start(t, good, claim)
		}
	})
}

// F95: a sweep changes rows at READ COMMITTED, which the server refuses with a binary log of statements.
func TestF95ABinaryLogOfStatementsIsRefused(t *testing.T) {
	t.Parallel()

	for _, log := range []struct {
		format  string
		refused bool
	}{{"STATEMENT", true}, {"MIXED", false}, {"ROW", false}} {
		t.Run(log.format, func(t *testing.T) {
			t.Parallel()

			k := kinds[1]
			server := sqltest.MariaDB(t, sqltest.WithoutSync(), sqltest.WithArgs("--log-bin=log", "--binlog-format="+log.format))
			db := pool(server.Fresh(t).DB(t))

			if !log.refused {
				k.works(t, db)

				return
			}

			if err := sqlstore.Migrate(t.Context(), db, k.dialect); err != nil {
				t.Fatal(err)
			}

			refuses(t, k, db, "binlog_format is STATEMENT")
		})
	}
}

// F95: a crash empties an UNLOGGED table, and only one connection sees a temporary one.
func TestF95TablesThatPostgreSQLDoesNotKeepAreRefused(t *testing.T) {
	t.Parallel()

	k := kinds[0]

	for why, statement := range map[string]string{
		"is UNLOGGED":  "ALTER TABLE onlyonce_records SET UNLOGGED",
		"is temporary": "CREATE TEMPORARY TABLE onlyonce_records (LIKE onlyonce_records)",
	} {
		_, db := k.open(t)
		db.SetMaxOpenConns(1)

		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}

		refuses(t, k, db, why)
	}
}

// F95: a crash empties the partition, and each of its keys may run again.
func TestF95APartitionThatPostgreSQLDoesNotKeepIsRefused(t *testing.T) {
	t.Parallel()

	k := kinds[0]
	_, db := k.open(t)

	execute(t, db, `ALTER TABLE onlyonce_records RENAME TO whole;
CREATE TABLE onlyonce_records (LIKE whole) PARTITION BY HASH (id);
CREATE TABLE kept PARTITION OF onlyonce_records FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE UNLOGGED TABLE lost PARTITION OF onlyonce_records FOR VALUES WITH (MODULUS 2, REMAINDER 1)`)
	refuses(t, k, db, "is UNLOGGED")
	execute(t, db, "ALTER TABLE lost SET LOGGED")

	if _, err := newStore(db, k.dialect); err != nil {
		t.Error(err)
	}
}
