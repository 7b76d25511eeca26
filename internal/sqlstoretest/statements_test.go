package sqlstoretest_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// The cost of a run, in statements sent to the server.
func TestStatementsOfARun(t *testing.T) {
	most := map[sqlstore.Dialect]map[string]int{
		sqlstore.PostgreSQL: {"claim": 1, "in progress": 1, "renew": 1, "complete": 1, "replay": 1, "reused": 1, "release": 2, "reclaim": 2},
		sqlstore.MySQL:      {"claim": 2, "in progress": 1, "renew": 2, "complete": 2, "replay": 1, "reused": 1, "release": 2, "reclaim": 2},
	}

	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, proxy := k.behind(t)
		claim, other, again := newClaim(), newClaim(), newClaim()
		again.Key, again.Fence = other.Key, 1
		reused := claimOn(claim.Key)
		reused.Fingerprint.Sum[0]++

		for _, step := range []struct {
			name    string
			applied bool
			run     func() (store.Result, error)
		}{
			{"claim", true, func() (store.Result, error) { return s.Claim(t.Context(), claim) }},
			{"in progress", false, func() (store.Result, error) { return s.Claim(t.Context(), claimOn(claim.Key)) }},
			{"renew", true, func() (store.Result, error) { return s.Renew(t.Context(), renewal(claim)) }},
			{"complete", true, func() (store.Result, error) { return s.Complete(t.Context(), completion(claim, "paid")) }},
			{"replay", false, func() (store.Result, error) { return s.Claim(t.Context(), claimOn(claim.Key)) }},
			{"reused", false, func() (store.Result, error) { return s.Claim(t.Context(), reused) }},
			{"claim", true, func() (store.Result, error) { return s.Claim(t.Context(), other) }},
			{"release", true, func() (store.Result, error) { return s.Release(t.Context(), release(other)) }},
			{"reclaim", true, func() (store.Result, error) { return s.Claim(t.Context(), again) }},
		} {
			proxy.Reset()

			res, err := step.run()
			if err != nil || res.Applied != step.applied {
				t.Fatalf("%s: applied=%t, %v", step.name, res.Applied, err)
			}

			if got, want := proxy.Count(sqltest.Any()), most[k.dialect][step.name]; got != want {
				t.Errorf("%s takes %d statements, must be %d: %v", step.name, got, want, proxy.Statements())
			}
		}
	})
}

// A note costs no further statement while the owner has the receipt of its run.
func TestStatementsOfARunWithANote(t *testing.T) {
	most := map[sqlstore.Dialect]map[string]int{
		sqlstore.PostgreSQL: {"claim": 1, "renew": 1, "complete": 1, "complete without receipt": 3},
		sqlstore.MySQL:      {"claim": 2, "renew": 2, "complete": 2, "complete without receipt": 2},
	}

	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, proxy := k.behind(t)

		for _, last := range []string{"complete", "complete without receipt"} {
			claim := newClaim()
			claim.Note = []byte("a note")

			var receipt any

			for _, step := range []struct {
				name, outcome string
				run           func() (store.Result, error)
			}{
				{"claim", "a note", func() (store.Result, error) { return s.Claim(t.Context(), claim) }},
				{"renew", "a note", func() (store.Result, error) { return s.Renew(t.Context(), renewal(claim)) }},
				{last, "paid", func() (store.Result, error) {
					op := completion(claim, "paid")
					if last == "complete" {
						op.Receipt = receipt
					}

					return s.Complete(t.Context(), op)
				}},
			} {
				proxy.Reset()

				res, err := step.run()
				receipt = must(t, res, err).Receipt

				if got := string(res.Record.Outcome); got != step.outcome {
					t.Errorf("%s: the outcome is %q, must be %q", step.name, got, step.outcome)
				}

				if got, want := proxy.Count(sqltest.Any()), most[k.dialect][step.name]; got != want {
					t.Errorf("%s takes %d statements, must be %d: %v", step.name, got, want, proxy.Statements())
				}
			}
		}
	})
}

// A joined run adds the completion to its handler's transaction, and nothing for notifications. On MySQL, it also adds
// a savepoint and its release.
func TestStatementsOfAJoinedRun(t *testing.T) {
	most := map[sqlstore.Dialect]int{sqlstore.PostgreSQL: 3, sqlstore.MySQL: 5}

	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, proxy := k.behind(t)
		db := pool(proxy.DB(t, k.params...))
		stores := map[string]store.Transactional{"alone": s}

		if k.dialect == sqlstore.PostgreSQL {
			n, err := s.Notify(listener(""))
			if err != nil {
				t.Fatal(err)
			}

			stores["telling"] = n
		}

		for name, st := range stores {
			claim := newClaim()
			start(t, s, claim)

			run := &joinedRun{claim: claim}

			// The connection is there.
			if err := db.PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}

			proxy.Reset()

			_, err := sqlstore.InTx(st.Join(t.Context(), run), db, nil, func(context.Context, *sql.Tx) ([]byte, error) { return nil, nil })
			if err != nil || !run.applied.Load() {
				t.Fatalf("%s: %v, written: %t", name, err, run.applied.Load())
			}

			if got, want := proxy.Count(sqltest.Any()), most[k.dialect]; got != want {
				t.Errorf("%s: the transaction takes %d statements, must be %d: %v", name, got, want, proxy.Statements())
			}
		}
	})
}
