package sqlstoretest_test

import (
	"fmt"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store"
)

// nth chooses the statement with a number, beginning with 1.
func nth(n int) sqltest.Match {
	return func(sqltest.Statement) bool {
		n--

		return n == 0
	}
}

// everyLoss loses every statement of every operation once, and checks the result.
func everyLoss(t *testing.T, k kind, fault sqltest.Fault) {
	t.Helper()

	s, proxy := k.behind(t)

	for _, op := range operations() {
		claim := op.prepare(t, s)
		proxy.Reset()

		res, err := op.run(t.Context(), s, claim)
		want := must(t, res, err).Record
		statements := proxy.Count(sqltest.Any())

		if statements < 1 || statements > 2 {
			t.Errorf("%s takes %d statements: %v", op.name, statements, proxy.Statements())
		}

		for n := 1; n <= statements; n++ {
			what := fmt.Sprintf("%s with a %v, statement %d of %d", op.name, fault, n, statements)
			claim := op.prepare(t, s)
			armed := proxy.Next(fault, nth(n))

			res, err := op.run(t.Context(), s, claim)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}

			armed.Wait()

			rec := lookup(t, s, claim.Key).Record
			if !res.Applied || rec.State != op.state || rec.Fence != want.Fence || rec.Attempts != want.Attempts {
				t.Errorf("%s: applied=%t, the record is %+v, without the loss it is %+v", what, res.Applied, rec, want)
			}

			if rec.State == store.Running && rec.Token != claim.Token {
				t.Errorf("%s: somebody else runs", what)
			}
		}
	}
}

func TestF09AndF11AnOperationWhoseReplyIsLostIsRecognisedWhenItIsSentAgain(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()
		everyLoss(t, k, sqltest.LostReply)
	})
}

func TestF10AnOperationWhoseRequestIsLostIsSentAgain(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()
		everyLoss(t, k, sqltest.LostRequest)
	})
}

func TestF54AClaimThatArrivesAfterItWasWithdrawnLoses(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, proxy := k.behind(t)
		claim := newClaim()

		// The claim's writes arrive late: all that it sends until it fails.
		armed := proxy.Every(sqltest.Late, sqltest.Containing("INSERT"))
		if _, err := s.Claim(t.Context(), claim); !failed(err) {
			t.Fatalf("a claim that does not get through returned %v", err)
		}

		armed.Disarm()

		res, err := s.Release(t.Context(), release(claim))
		must(t, res, err)
		armed.MustDeliver()

		if rec := lookup(t, s, claim.Key).Record; rec.State != store.Released {
			t.Errorf("the record is %v", rec.State)
		}

		next := claimOn(claim.Key)
		next.Fence = 1
		start(t, s, next)
	})
}

func TestF06AnOperationEndsWithItsTimeoutWhereTheServerDoesNotAnswer(t *testing.T) {
	each(t, servers(), func(t *testing.T, k kind) {
		t.Helper()

		s, proxy := k.behind(t)
		impatient := k.impatient(t, proxy, unit)
		claim := newClaim()
		start(t, s, claim)

		for name, fault := range map[string]struct{ begin, end func() }{
			"stalled": {proxy.Stall, proxy.Unstall}, "down": {proxy.Down, proxy.Up},
		} {
			fault.begin()

			if _, err := impatient.Claim(t.Context(), claimOn(claim.Key)); !failed(err) {
				t.Errorf("%s: a claim returned %v", name, err)
			}

			if _, err := impatient.Complete(t.Context(), completion(claim, "paid")); !failed(err) {
				t.Errorf("%s: a completion returned %v", name, err)
			}

			fault.end()
		}

		res, err := s.Complete(t.Context(), completion(claim, "paid"))
		must(t, res, err)
	})
}
