package redisstore_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// lines are the ways to a store whose replies and requests can be lost.
func lines(t *testing.T) map[string]func(t *testing.T) (*redisstore.Store, *redistest.Plan) {
	t.Helper()

	server := redistest.Standalone(t)
	cluster := redistest.NewCluster(t)

	return map[string]func(t *testing.T) (*redisstore.Store, *redistest.Plan){
		"one server, the client resends": func(t *testing.T) (*redisstore.Store, *redistest.Plan) {
			t.Helper()

			proxy := redistest.NewProxy(t, server.Addr())

			return through(t, proxy), proxy.Plan
		},
		"one server, the caller resends": func(t *testing.T) (*redisstore.Store, *redistest.Plan) {
			t.Helper()

			proxy := redistest.NewProxy(t, server.Addr())
			client := redis.NewClient(patient(redis.Options{Addr: proxy.Addr(), MaxRetries: -1}))

			return with(t, client), proxy.Plan
		},
		"a cluster, the client resends": func(t *testing.T) (*redisstore.Store, *redistest.Plan) {
			t.Helper()

			plan := redistest.NewPlan(t)

			return viaPlan(t, cluster, plan), plan
		},
	}
}

// lost runs every operation with a fault, resends it until it is answered, and checks the record.
func lost(t *testing.T, fault redistest.Fault) {
	t.Helper()

	for line, connect := range lines(t) {
		for _, op := range operations() {
			t.Run(line+"/"+op.name, func(t *testing.T) {
				t.Parallel()

				s, plan := connect(t)
				twin := op.prepare(t, s)

				want, err := op.run(t.Context(), s, twin) // also loads the script
				must(t, want, err)

				claim := op.prepare(t, s)

				plan.Reset()

				faulty := plan.Next(fault, operating)

				got, err := op.run(t.Context(), s, claim)
				for failed(err) {
					got, err = op.run(t.Context(), s, claim)
				}

				must(t, got, err)
				faulty.Wait()

				// An operation that finds its own bytes, or unexpected ones, sends a script, which decides.
				most := 2
				if fault == redistest.LostReply && (op.name == "claim" || strings.HasPrefix(op.name, "complete with")) {
					most = 3
				}

				if n := sent(plan); n < 2 || n > most {
					t.Errorf("it was sent %d times, want 2 to %d", n, most)
				}

				if got.Record.State != op.state || got.Record.Fence != want.Record.Fence ||
					!bytes.Equal(got.Record.Outcome, want.Record.Outcome) || got.Record.Attempts != want.Record.Attempts {
					t.Errorf("the record became %+v, without the loss %+v", got.Record, want.Record)
				}

				kept := lookup(t, s, claim.Key).Record
				if kept.State != op.state || kept.Fence != want.Record.Fence || kept.Token != claim.Token {
					t.Errorf("the server has %+v", kept)
				}
			})
		}
	}
}

func TestF09F11AnOperationWhoseReplyIsLostHasTheSameResultWhenItIsSentAgain(t *testing.T) {
	t.Parallel()

	lost(t, redistest.LostReply)
}

func TestF10AnOperationThatIsLostHasTheSameResultWhenItIsSentAgain(t *testing.T) {
	t.Parallel()

	lost(t, redistest.LostRequest)
}

// untilItHappens returns a context that ends when a fault happens.
func untilItHappens(t *testing.T, fault *redistest.Armed) context.Context {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)

	go func() {
		select {
		case <-fault.Happened():
			cancel()
		case <-ctx.Done():
		}
	}()

	return ctx
}

// claimUnanswered sends a claim, and stops waiting when the fault happens to it.
func claimUnanswered(t *testing.T, s *redisstore.Store, fault *redistest.Armed, claim store.Claim) {
	t.Helper()

	if _, err := s.Claim(untilItHappens(t, fault), claim); !failed(err) {
		t.Fatalf("the claim was answered: %v", err)
	}
}

func TestF54AClaimThatIsGivenUpOnIsReleasedAndLosesWhenItLands(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	start(t, s, newClaim()) // the script is loaded

	claim := newClaim()
	late := proxy.Every(redistest.Late, operating)

	claimUnanswered(t, s, late, claim)

	late.Disarm()

	res, err := s.Release(t.Context(), release(claim))
	must(t, res, err)

	late.Deliver() // every copy of it

	mustBe(t, s, claim.Key, store.Released)

	again := claimOn(claim.Key)
	again.Fence = lookup(t, s, claim.Key).Record.Fence

	if res := start(t, s, again); res.Record.Attempts != 1 || res.Record.Token != again.Token {
		t.Errorf("the retry is attempt %d", res.Record.Attempts)
	}
}

func TestF54AClaimWhoseRepliesAreAllLostIsReleasedAndTheRetryRuns(t *testing.T) {
	t.Parallel()

	proxy := redistest.NewProxy(t, redistest.Standalone(t).Addr())
	s := through(t, proxy)
	start(t, s, newClaim())

	claim := newClaim()
	silent := proxy.Every(redistest.LostReply, operating)

	claimUnanswered(t, s, silent, claim)

	silent.Disarm()
	mustBe(t, s, claim.Key, store.Running)

	res, err := s.Release(t.Context(), release(claim))
	must(t, res, err)

	again := claimOn(claim.Key)
	again.Fence = res.Record.Fence
	start(t, s, again)
}

func TestF16AnOperationOfARunThatWasOvertakenChangesNothingWhenItArrives(t *testing.T) {
	t.Parallel()

	server := redistest.Standalone(t)

	for _, op := range operations() {
		if op.name == "withdraw" || op.name == "resolve" || op.name == "resolve as not executed" {
			continue // they are no owner's
		}

		t.Run(op.name, func(t *testing.T) {
			t.Parallel()

			proxy := redistest.NewProxy(t, server.Addr())
			s := through(t, proxy)

			op.run(t.Context(), s, op.prepare(t, s)) //nolint:errcheck // it loads the script

			first := overdue(t, s)
			late := proxy.Next(redistest.Late, operating)

			client := redis.NewClient(patient(redis.Options{Addr: proxy.Addr(), MaxRetries: -1}))
			once := with(t, client, redisstore.WithoutCheck())

			if _, err := op.run(untilItHappens(t, late), once, first); !failed(err) {
				t.Fatalf("it was answered: %v", err)
			}

			second := claimOn(first.Key)
			second.Fence = 1
			before := start(t, s, second)

			late.Deliver()

			after := lookup(t, s, first.Key)
			if !sameRecord(&after.Record, &before.Record) {
				t.Errorf("the record was %+v, and is %+v", before.Record, after.Record)
			}
		})
	}
}

// sameRecord compares the fields that an operation may change.
func sameRecord(a, b *store.Record) bool {
	return a.State == b.State && a.Token == b.Token && a.Fence == b.Fence && a.LeaseUntil.Equal(b.LeaseUntil) &&
		a.Attempts == b.Attempts && bytes.Equal(a.Outcome, b.Outcome) && a.Doubtful == b.Doubtful && a.Resolved == b.Resolved &&
		a.OwnerAliveUntil.Equal(b.OwnerAliveUntil) && a.EndedAt.Equal(b.EndedAt)
}
