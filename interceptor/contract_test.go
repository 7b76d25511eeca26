package interceptor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// The rows of the contract's table of rejections, seen by a client that knows nothing of this package.
var (
	keyMissing       = rejection{reason: "IDEMPOTENCY_KEY_MISSING", code: codes.InvalidArgument, said: "rejected", badRequest: true}
	keyInvalid       = rejection{reason: "IDEMPOTENCY_KEY_INVALID", code: codes.InvalidArgument, said: "rejected", badRequest: true}
	keyReused        = rejection{reason: "IDEMPOTENCY_KEY_REUSED", code: codes.FailedPrecondition, said: "rejected"}
	inProgress       = rejection{reason: "IDEMPOTENCY_IN_PROGRESS", code: codes.Unavailable, said: "rejected", delay: time.Second / 2}
	leaseLost        = rejection{reason: "IDEMPOTENCY_LEASE_LOST", code: codes.Unavailable, said: "rejected", delay: time.Second / 2}
	outcomeUnknown   = rejection{reason: "IDEMPOTENCY_OUTCOME_UNKNOWN", code: codes.Unknown, said: "unknown", delay: time.Minute}
	outcomeNotStored = rejection{reason: "IDEMPOTENCY_OUTCOME_NOT_STORED", code: codes.Unknown, said: "rejected"}
	storeUnavailable = rejection{reason: "IDEMPOTENCY_STORE_UNAVAILABLE", code: codes.Unavailable, said: "rejected", delay: time.Second}
	storeFull        = rejection{reason: "IDEMPOTENCY_STORE_FULL", code: codes.ResourceExhausted, said: "rejected", delay: 2 * time.Second}
	scopeMissing     = rejection{reason: "IDEMPOTENCY_SCOPE_MISSING", code: codes.Unauthenticated, said: "rejected"}
	recordUnreadable = rejection{reason: "IDEMPOTENCY_RECORD_UNREADABLE", code: codes.DataLoss, said: "rejected"}
	recordNewer      = rejection{reason: "IDEMPOTENCY_RECORD_NEWER", code: codes.Unavailable, said: "rejected", delay: 2 * time.Second}
)

func noScope() interceptor.Scope {
	return interceptor.ScopeFunc(func(context.Context) (string, error) { return "", errors.New("token of Ann is stale") })
}

func TestEveryRejectionIsAsTheContractSays(t *testing.T) {
	rows := []struct {
		name  string
		want  rejection
		runs  int64
		setup func() setup // on the bubble's clock
		cause func(s stage) answer
	}{
		{
			name: "the method requires a key", want: keyMissing,
			setup: func() setup { return setup{server: keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired})} },
			cause: func(s stage) answer { return s.call(s.Context(), payment()) },
		},
		{
			name: "a malformed key", want: keyInvalid,
			cause: func(s stage) answer { return s.pay(s.T, "two words") },
		},
		{
			name: "an empty key", want: keyInvalid,
			cause: func(s stage) answer { return s.pay(s.T, "") },
		},
		{
			name: "several keys", want: keyInvalid,
			cause: func(s stage) answer { return s.call(withKey(s.Context(), "key", "key"), payment()) },
		},
		{
			name: "the same key with another request", want: keyReused, runs: 1,
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustSay(s.T, "executed")

				return s.call(withKey(s.Context(), "key"), otherPayment())
			},
		},
		{
			name: "a duplicate of a running call that may not wait", want: inProgress, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxWait: onlyonce.NoWait})} },
			cause: func(s stage) answer { return duplicateWhileRunning(s.T, s.world, s.world) },
		},
		{
			name: "a duplicate of a running call that has waited", want: inProgress, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxWait: 3 * time.Second})} },
			cause: func(s stage) answer { return duplicateWhileRunning(s.T, s.world, s.world) },
		},
		{
			name: "an earlier run was ambiguous", want: outcomeUnknown, runs: 1,
			cause: func(s stage) answer {
				s.handle = failing(status.Error(codes.Internal, "oops"))
				s.pay(s.T, "key").mustFail(s.T, codes.Internal, "oops")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the answer was too large to keep", want: outcomeNotStored, runs: 1,
			setup: func() setup { return setup{server: policy(onlyonce.Policy{MaxOutcome: 5})} },
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustSay(s.T, "executed")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the store cannot be reached", want: storeUnavailable,
			setup: func() setup { return setup{store: newFaultStore().down()} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
		{
			name: "the server is shutting down", want: storeUnavailable,
			cause: func(s stage) answer {
				if err := s.engine.Drain(s.Context()); err != nil {
					s.Errorf("Drain: %v", err)
				}

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the store is full", want: storeFull, runs: 1,
			setup: func() setup { return setup{store: memstore.New(memstore.WithMaxRecords(1))} },
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustSay(s.T, "executed")

				return s.pay(s.T, "another")
			},
		},
		{
			name: "the scope found no caller", want: scopeMissing,
			setup: func() setup { return setup{scope: noScope} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
		{
			name: "the stored record is damaged", want: recordUnreadable, runs: 1,
			setup: func() setup {
				return setup{store: newFaultStore().damaging(func(data []byte) []byte { return data[:len(data)/2] })}
			},
			cause: func(s stage) answer {
				s.pay(s.T, "key").mustSay(s.T, "executed")

				return s.pay(s.T, "key")
			},
		},
		{
			name: "the record was written by a newer build", want: recordNewer,
			setup: func() setup { return setup{store: newFaultStore().refusing(store.ErrNewer)} },
			cause: func(s stage) answer { return s.pay(s.T, "key") },
		},
	}

	for _, row := range rows {
		t.Run(string(row.want.reason)+"/"+row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				made := setup{}
				if row.setup != nil {
					made = row.setup()
				}

				w := start(t, made, nil)
				a := row.cause(stage{T: t, world: w})
				a.mustBe(t, row.want)
				w.mustHaveRun(t, row.runs)

				for _, secret := range []string{"hunter2", "Ann"} {
					if strings.Contains(status.Convert(a.err).String(), secret) {
						t.Errorf("the answer tells the caller what only the operator may know: %v", a.err)
					}
				}
			})
		})
	}
}

// duplicateWhileRunning makes a call on one server and its duplicate on another while the first one runs.
func duplicateWhileRunning(t *testing.T, w, other *world) answer {
	t.Helper()

	w.handle = after(20*time.Second, answering("late"))
	first := w.payInBackground(t)

	synctest.Wait()

	duplicate := other.pay(t, "key")
	(<-first).mustAnswer(t, "late")

	return duplicate
}

func TestDuplicateOnAnotherReplicaIsToldToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		here := start(t, setup{store: shared}, nil)
		there := start(t, setup{store: shared}, nil)

		duplicateWhileRunning(t, here, there).mustBe(t, inProgress)
		there.mustHaveRun(t, 0)
	})
}

func TestOvertakenRunIsToldToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		cutOff := (&faultStore{Store: shared})
		cutOff.renew = func(context.Context, store.Renewal) (store.Result, error) { return store.Result{}, errLine }

		atLeastOnce := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
		here := start(t, setup{store: cutOff, server: atLeastOnce}, after(30*time.Second, answering("overtaken")))
		there := start(t, setup{store: shared, server: atLeastOnce}, after(24*time.Second, answering("winner")))

		overtaken := here.payInBackground(t)

		time.Sleep(16 * time.Second) // the lease has ended

		winner := there.payInBackground(t)

		(<-overtaken).mustBe(t, leaseLost)
		(<-winner).mustAnswer(t, "winner")
		here.pay(t, "key").mustAnswer(t, "winner")
	})
}

func TestOutcomeUnknownTellsTheCodeAndSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{}, failing(status.Error(codes.Aborted, "oops")))
		w.pay(t, "key").mustSay(t, "unknown")

		since := time.Now().UTC().Format(time.RFC3339)

		time.Sleep(time.Hour)

		a := w.pay(t, "key")
		info := a.mustBe(t, outcomeUnknown)

		if got := info.GetMetadata(); got["original_code"] != "ABORTED" || got["since"] != since {
			t.Errorf("metadata %v, want ABORTED since %s", got, since)
		}

		if text := status.Convert(a.err).Message(); !strings.HasSuffix(text, "do not use another key") {
			t.Errorf("the message does not end with the warning: %q", text)
		}
	})
}

func TestOutcomeUnknownAfterALostOwnerHasNoCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{store: newFaultStore().deaf()}, nil)
		w.pay(t, "key").mustSay(t, "unrecorded")

		time.Sleep(time.Minute)

		if got := w.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata(); got["since"] == "" || got["original_code"] != "" {
			t.Errorf("metadata %v, want since alone", got)
		}
	})
}

func TestOutcomeNotStoredTellsTheCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{server: policy(onlyonce.Policy{MaxOutcome: 5})}, failing(status.Error(codes.NotFound, "nobody")))
		w.pay(t, "key").mustFail(t, codes.NotFound, "nobody")

		if got := w.pay(t, "key").mustBe(t, outcomeNotStored).GetMetadata()["original_code"]; got != "NOT_FOUND" {
			t.Errorf("original_code is %q, want NOT_FOUND", got)
		}
	})
}

func TestDelaysAreSpread(t *testing.T) {
	w := start(t, setup{store: newFaultStore().refusing(store.ErrNewer)}, nil)
	seen := make(map[string]bool)

	for range 20 {
		seen[w.pay(t, "key").trailer.Get("grpc-retry-pushback-ms")[0]] = true
	}

	if len(seen) < 10 {
		t.Errorf("20 rejections asked for %d different delays, so their callers come back together", len(seen))
	}
}
