package sqlstoretest_test

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

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

// shown is what the view shows of a record.
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

// showsTime reports whether a time of the view is that of a record, which is UTC.
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

// Whoever looks for damage must not fail because of it.
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

		// A build that is newer knows what it means.
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

// Among ten million records the few that nobody has settled are found by their index.
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
