package interceptor_test

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// clientRows are the rules for the client: whether it retries with the same key, and whether its error permits a new key.
func clientRows() []row {
	const (
		noUse = 1 // attempts
		later = 1 // not by itself, because an operator has to settle the record
		yes   = 2

		mayBeNew = onlyonce.VerdictFinal
		neverNew = onlyonce.VerdictUnknown
	)

	rejected := func(code codes.Code, reason onlyonce.Reason) turn {
		return turn{code: code, status: "rejected", reason: reason}
	}
	answered := func(code codes.Code, status onlyonce.Status) turn { return turn{code: code, status: status} }

	cases := []struct {
		answer string
		turn   turn
		again  int
		newKey onlyonce.Verdict
	}{
		{"OK", paid(), noUse, mayBeNew},
		{"a definite error", answered(codes.NotFound, "executed"), noUse, mayBeNew},
		{"a replayed error", answered(codes.NotFound, "replayed"), noUse, mayBeNew},
		{"KEY_REUSED", rejected(codes.FailedPrecondition, onlyonce.ReasonKeyReused), noUse, neverNew},
		{"KEY_EXPIRED", rejected(codes.FailedPrecondition, onlyonce.ReasonKeyExpired), noUse, neverNew},
		{"KEY_INVALID", rejected(codes.InvalidArgument, onlyonce.ReasonKeyInvalid), noUse, mayBeNew},

		{"IN_PROGRESS", rejected(codes.Unavailable, onlyonce.ReasonInProgress), yes, neverNew},
		{"LEASE_LOST", rejected(codes.Unavailable, onlyonce.ReasonLeaseLost), yes, neverNew},
		{"STORE_UNAVAILABLE", rejected(codes.Unavailable, onlyonce.ReasonStoreUnavailable), yes, neverNew},
		{"STORE_FULL", rejected(codes.ResourceExhausted, onlyonce.ReasonStoreFull), yes, neverNew},
		{"RECORD_NEWER", rejected(codes.Unavailable, onlyonce.ReasonRecordNewer), yes, neverNew},
		{"UNAVAILABLE without our domain", turn{code: codes.Unavailable}, yes, neverNew},
		{"a timeout of the attempt", turn{takes: time.Minute, status: "executed"}, yes, neverNew},

		{"OUTCOME_UNKNOWN", turn{code: codes.Unknown, status: "unknown", reason: onlyonce.ReasonOutcomeUnknown}, later, neverNew},
		{"UNKNOWN", answered(codes.Unknown, "unknown"), later, neverNew},
		{"INTERNAL", answered(codes.Internal, "unknown"), later, neverNew},
		{"ABORTED", answered(codes.Aborted, "unknown"), later, neverNew},
		{"DEADLINE_EXCEEDED of the handler", answered(codes.DeadlineExceeded, "unknown"), later, neverNew},
		{"CANCELLED by the handler", answered(codes.Canceled, "unknown"), later, neverNew},
		{"RESOURCE_EXHAUSTED", answered(codes.ResourceExhausted, "unknown"), later, neverNew},
		{"UNIMPLEMENTED", answered(codes.Unimplemented, "unknown"), later, neverNew},
		{"DATA_LOSS", answered(codes.DataLoss, "unknown"), later, neverNew},
	}

	rows := make([]row, 0, len(cases))

	for i := range cases {
		c := &cases[i]
		rows = append(rows, row{says: c.answer, check: func(s stage) {
			seen, a := playConfirmed(s.T, []turn{c.turn},
				interceptor.WithRetry(retry.Policy{MaxAttempts: yes, AttemptTimeout: 30 * time.Second}))
			seen.mustBe(s.T, c.again)

			if got := onlyonce.VerdictOf(a.err); got != c.newKey {
				s.Errorf("the outcome is %v, want %v; the answer is %v, %v", got, c.newKey, a.resp, a.err)
			}

			keys := seen.values("idempotency-key")
			if strings.Count(strings.Join(keys, ""), "|") != c.again || keys[0] != keys[len(keys)-1] {
				s.Errorf("the keys of the attempts are %q, want one and the same", keys)
			}
		}})
	}

	return append(rows,
		row{says: "the delay is the one that is asked for", check: func(s stage) {
			asked := rejected(codes.Unavailable, onlyonce.ReasonInProgress)
			asked.retryInfo, asked.pushback = 7*time.Second, []string{"7000"}

			seen, a := play(s.T, []turn{asked, paid()}, nil)
			a.mustAnswer(s.T, "paid")

			if gaps := seen.gaps(); len(gaps) != 1 || gaps[0] != 7*time.Second {
				s.Errorf("the delays are %v", gaps)
			}
		}},
		row{says: "a lost connection: never a new key until the outcome is known", check: func(s stage) {
			s.handle = after(5*time.Second, answering("paid"))
			conn := s.clientConn(s.T, interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
			call := background(func() answer { return callOn(onlyonce.ContextWithKey(s.Context(), "key"), conn, unaryCall, payment()) })

			time.Sleep(time.Second)
			s.listener.cut()

			a := <-call
			if got := onlyonce.VerdictOf(a.err); got != neverNew {
				s.Errorf("the outcome is %v; the answer is %v, %v", got, a.resp, a.err)
			}

			time.Sleep(10 * time.Second) // until the connection is back
			callOn(onlyonce.ContextWithKey(s.Context(), "key"), conn, unaryCall, payment()).mustAnswer(s.T, "paid")
			s.mustHaveRun(s.T, 1)
		}},
	)
}
