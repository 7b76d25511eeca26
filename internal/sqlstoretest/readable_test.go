package sqlstoretest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// dropTable drops the table of the records, with its view where the database would refuse otherwise.
func (k kind) dropTable() string {
	if k.dialect == sqlstore.PostgreSQL {
		return "DROP TABLE " + sqlstore.DefaultTable + " CASCADE"
	}

	return "DROP TABLE " + sqlstore.DefaultTable
}

// shown is a record as the view shows it.
type shown struct {
	state, guarantee                  sql.NullString
	settled, alive, expired, damaged  bool
	firstStart, endedAt, leaseUntil   sql.NullString
	attempts, retention, outcomeBytes int64
}

func (k kind) shown(tb testing.TB, db *sql.DB, key store.Key) (s shown) {
	tb.Helper()

	query := "SELECT state, guarantee, settled, alive, expired, damaged, first_start, ended_at, lease_until, attempts, retention_seconds, " +
		"outcome_bytes FROM onlyonce_records_readable WHERE id = '" + hex.EncodeToString(key[:]) + "'"

	err := db.QueryRowContext(tb.Context(), query).Scan(&s.state, &s.guarantee, &s.settled, &s.alive, &s.expired, &s.damaged,
		&s.firstStart, &s.endedAt, &s.leaseUntil, &s.attempts, &s.retention, &s.outcomeBytes)
	if err != nil {
		tb.Fatal(err)
	}

	return s
}

// showsTime reports whether a time of the view, in UTC, equals that of a record.
func showsTime(text sql.NullString, at time.Time) bool {
	if at.IsZero() {
		return !text.Valid
	}

	return strings.HasPrefix(strings.Replace(text.String, " ", "T", 1), at.UTC().Format("2006-01-02T15:04:05"))
}

func TestViewShowsEveryRecordAsTheStoreReadsIt(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		if k.dialect == sqlstore.PostgreSQL {
			k.params = append(k.params, "timezone=UTC")
		}

		s, db := k.open(t)

		for name, claim := range specimens(t, s) {
			res := lookup(t, s, claim.Key)
			rec, got := res.Record, k.shown(t, db, claim.Key)
			settled := rec.State == store.Released || rec.State == store.Completed

			if got.state.String != rec.State.String() || got.guarantee.String != rec.Guarantee.String() || got.settled != settled ||
				got.alive != (rec.State == store.Running && rec.LeaseUntil.After(res.Now)) || got.expired || got.damaged ||
				got.attempts != int64(rec.Attempts) || got.retention != int64(rec.Retention/time.Second) ||
				got.outcomeBytes != int64(len(rec.Outcome)) {
				t.Errorf("%s is shown as %+v, and is %+v", name, got, rec)
			}

			if !showsTime(got.firstStart, rec.FirstStart) || !showsTime(got.endedAt, rec.EndedAt) || !showsTime(got.leaseUntil, rec.LeaseUntil) {
				t.Errorf("the times of %s are shown as %+v, and are %+v", name, got, rec)
			}
		}
	})
}

// A query for damaged records must not fail because of the damage.
func TestViewShowsWhatIsDamaged(t *testing.T) {
	each(t, kinds, func(t *testing.T, k kind) {
		t.Helper()

		s, db := k.open(t)
		table := k.rows(db)
		damaged := make(map[string]bool)

		for i, change := range []map[string]any{
			{"state": 7}, {"checksum": 1}, {"fence": int64(math.MaxInt64)}, {"expires_at": int64(math.MaxInt64)}, {"first_start": -5},
			{"token": []byte{1}}, {"format": 0}, {"retention": int64(math.MinInt64)},
		} {
			claim := newClaim()
			start(t, s, claim)
			table.set(t, claim.Key, change)

			damaged[hex.EncodeToString(claim.Key[:])] = true

			if got := k.shown(t, db, claim.Key); !got.damaged {
				t.Errorf("%d, %v: it is shown as %+v", i, change, got)
			}
		}

		// A record of a newer format is not damaged.
		newer := newClaim()
		start(t, s, newer)
		table.set(t, newer.Key, map[string]any{"format": 2, "checksum": 1})

		rows, err := db.QueryContext(t.Context(), "SELECT id FROM onlyonce_records_readable WHERE damaged")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()

		found := 0

		for ; rows.Next(); found++ {
			var id string
			if err := rows.Scan(&id); err != nil || !damaged[id] {
				t.Errorf("%s is said to be damaged, %v", id, err)
			}
		}

		if err := rows.Err(); err != nil || found != len(damaged) {
			t.Errorf("%d are damaged, %v, want %d", found, err, len(damaged))
		}
	})
}

// Among ten million records, the index finds the few unsettled ones.
func TestViewFindsWhatIsUnsettledByItsIndex(t *testing.T) {
	t.Parallel()

	k := kinds[0]
	_, db := k.open(t)
	fill(t, db, 5000)

	if _, err := db.ExecContext(t.Context(), "ANALYZE onlyonce_records"); err != nil {
		t.Fatal(err)
	}

	rows, err := db.QueryContext(t.Context(), "EXPLAIN SELECT id, state FROM onlyonce_records_readable WHERE NOT settled AND NOT alive")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()

	var plan []string

	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}

		plan = append(plan, line)
	}

	if err := rows.Err(); err != nil || !strings.Contains(fmt.Sprint(plan), "Index") || strings.Contains(fmt.Sprint(plan), "Seq Scan") {
		t.Errorf("the plan is %q, %v", plan, err)
	}
}

// userOf is a pool of a new user with exactly these rights. In PostgreSQL it is the admin's pool, in that user's role.
func (k kind) userOf(t *testing.T, base *sqltest.Database, admin *sql.DB, rights ...string) *sql.DB {
	t.Helper()

	name := "user_" + strings.ToLower(rand.Text()[:12])

	execute(t, admin, "CREATE USER "+name)
	t.Cleanup(func() { // users belong to the server, not to one database
		text := "DROP USER " + name
		if k.dialect == sqlstore.PostgreSQL {
			text = "RESET ROLE;\nDROP OWNED BY " + name + ";\n" + text
		}

		for statement := range strings.SplitSeq(text, ";\n") {
			if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
				t.Error(err)
			}
		}
	})

	for _, right := range rights {
		execute(t, admin, "GRANT "+right+" TO "+name)
	}

	if k.dialect == sqlstore.PostgreSQL {
		admin.SetMaxOpenConns(1)
		execute(t, admin, "SET ROLE "+name)

		return admin
	}

	db, err := sql.Open(base.Driver(), strings.Replace(base.DSN(k.params...), "root@", name+"@", 1))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = db.Close() })

	return pool(db)
}

// A right on the table would show outcomes, which are answers to callers.
func TestPeopleReadTheViewWithoutARightOnTheTable(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		k.on(t, pool(base.DB(t, k.params...)))

		reader := k.userOf(t, base, base.DB(t, k.params...), "SELECT ON onlyonce_records_readable")

		var n int
		if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM onlyonce_records_readable WHERE damaged").Scan(&n); err != nil {
			t.Error(err)
		}

		if err := reader.QueryRowContext(t.Context(), "SELECT count(outcome) FROM onlyonce_records").Scan(&n); err == nil {
			t.Error("they read outcomes")
		}
	})
}

// The rights are those of docs/databases.md. The tables exist, so Migrate changes nothing.
func TestServiceNeedsTheDocumentedRightsAlone(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		base := k.fresh(t)
		k.on(t, pool(base.DB(t, k.params...)))

		s := k.on(t, k.userOf(t, base, base.DB(t, k.params...),
			"SELECT, INSERT, UPDATE, DELETE ON onlyonce_records", "SELECT ON onlyonce_records_schema"))

		for _, op := range operations() {
			claim := op.prepare(t, s)
			res, err := op.run(t.Context(), s, claim)
			must(t, res, err)
		}

		single := newClaim()
		res, tx, err := s.Begin(t.Context(), single, patience)
		must(t, res, err)

		res, err = tx.Complete(t.Context(), completion(single, "paid"), false)
		must(t, res, err)

		expire(t, s)

		if n, err := s.Sweep(t.Context()); err != nil || n < 1 {
			t.Errorf("a sweep has deleted %d records, %v", n, err)
		}

		for _, err := range s.ListUnknown(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}

		if _, err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
