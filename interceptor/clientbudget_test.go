package interceptor_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// F79: duplicates of a long run, submitted again and again, do not use up the retry budget of a healthy server.
func TestF79_DuplicatesOfALongRunDoNotDrainTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setup{server: policy(onlyonce.Policy{MaxWait: onlyonce.NoWait})}, after(20*time.Second, answering("paid")))
		budgets := mustBudgets(t)
		conn := w.clientConn(t, interceptor.WithBudgets(budgets))
		budget := budgets.For(conn.Target())

		first := background(func() answer { return callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key")) })

		synctest.Wait()

		for range 5 { // five attempts each
			a := callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("key"))
			if !errors.Is(a.err, onlyonce.ReasonInProgress) {
				t.Errorf("the answer is %v, %v", a.resp, a.err)
			}
		}

		if budget.Tokens() != 10 {
			t.Errorf("%v of 10 tokens are left", budget.Tokens())
		}

		(<-first).mustAnswer(t, "paid")
		w.mustHaveRun(t, 1)
	})
}

// A retry is free only by its reason, together with the server's request to wait. Any other failure may come from a
// server in trouble.
func TestF79_WhatCostsATokenOfTheBudget(t *testing.T) {
	asked := func(code codes.Code, reason onlyonce.Reason) turn {
		return turn{code: code, status: "rejected", reason: reason, retryInfo: time.Second}
	}
	pushed := asked(codes.Unavailable, onlyonce.ReasonInProgress)
	pushed.retryInfo, pushed.pushback = 0, []string{"1000"}

	for name, tt := range map[string]struct {
		turn turn
		cost float64
	}{
		"IN_PROGRESS":                       {asked(codes.Unavailable, onlyonce.ReasonInProgress), 0},
		"IN_PROGRESS by pushback":           {pushed, 0},
		"LEASE_LOST":                        {asked(codes.Unavailable, onlyonce.ReasonLeaseLost), 0},
		"IN_PROGRESS that asks for nothing": {rejectedTurn(codes.Unavailable, onlyonce.ReasonInProgress), 1},
		"STORE_UNAVAILABLE":                 {asked(codes.Unavailable, onlyonce.ReasonStoreUnavailable), 1},
		"STORE_FULL":                        {asked(codes.ResourceExhausted, onlyonce.ReasonStoreFull), 1},
		"RECORD_NEWER":                      {asked(codes.Unavailable, onlyonce.ReasonRecordNewer), 1},
		"released":                          {unavailable(), 1},
		"UNAVAILABLE":                       {turn{code: codes.Unavailable, retryInfo: time.Second}, 1},
		"another service's IN_PROGRESS": {
			turn{code: codes.Unavailable, status: "unknown", reason: onlyonce.ReasonInProgress, domain: downstream, retryInfo: time.Second}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget, err := retry.NewBudget(10, 0.001)
				if err != nil {
					t.Fatal(err)
				}

				seen, a := playConfirmed(t, []turn{tt.turn, paid()}, interceptor.WithRetry(retry.Policy{Budget: budget}))
				a.mustAnswer(t, "paid")
				seen.mustBe(t, 2)

				if got := 10 - budget.Tokens(); got > tt.cost || got < tt.cost-0.1 {
					t.Errorf("it has cost %v tokens, want %v", got, tt.cost)
				}
			})
		})
	}
}

func mustBudgets(t *testing.T) *retry.Budgets {
	t.Helper()

	budgets, err := retry.NewBudgets(10, 0.1)
	if err != nil {
		t.Fatal(err)
	}

	return budgets
}
