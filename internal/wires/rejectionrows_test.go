package wires_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

var (
	keyMissing       = rejection{reason: onlyonce.ReasonKeyMissing, code: codes.InvalidArgument, field: "idempotency-key"}
	notSupported     = rejection{reason: onlyonce.ReasonNotSupported, code: codes.Unimplemented}
	keyReused        = rejection{reason: onlyonce.ReasonKeyReused, code: codes.FailedPrecondition, first: "completed"}
	keyExpired       = rejection{reason: onlyonce.ReasonKeyExpired, code: codes.FailedPrecondition}
	inProgress       = rejection{reason: onlyonce.ReasonInProgress, code: codes.Unavailable, delay: time.Second / 2}
	leaseLost        = rejection{reason: onlyonce.ReasonLeaseLost, code: codes.Unavailable, delay: time.Second / 2}
	outcomeUnknown   = rejection{reason: onlyonce.ReasonOutcomeUnknown, code: codes.Unknown, delay: time.Minute}
	outcomeNotStored = rejection{reason: onlyonce.ReasonOutcomeNotStored, code: codes.Unknown}
	storeUnavailable = rejection{reason: onlyonce.ReasonStoreUnavailable, code: codes.Unavailable, delay: time.Second}
	storeFull        = rejection{reason: onlyonce.ReasonStoreFull, code: codes.ResourceExhausted, delay: 2 * time.Second}
	scopeMissing     = rejection{reason: onlyonce.ReasonScopeMissing, code: codes.Unauthenticated}
	recordUnreadable = rejection{reason: onlyonce.ReasonRecordUnreadable, code: codes.DataLoss}
	recordNewer      = rejection{reason: onlyonce.ReasonRecordNewer, code: codes.Unavailable, delay: 2 * time.Second}
)

// madeIn is a time-ordered key that is made after the duration.
func madeIn(d time.Duration) string {
	digits := fmt.Sprintf("%012x", time.Now().Add(d).UnixMilli())

	return digits[:8] + "-" + digits[8:] + "-7000-8000-000000000000"
}

func timeOrdered() setup { return setup{rules: &onlyonce.KeyRules{TimeOrdered: true}} }

// rejectionRows are the reasons of the contract.
func rejectionRows() []row {
	cases := []struct {
		says    string
		want    rejection
		runs    int64
		without func(*wire) string
		setup   setup
		cause   func(s *stage) answer
	}{
		{
			says: "the method requires a key", want: keyMissing, setup: setup{required: true},
			cause: func(s *stage) answer { return s.pay() },
		},
		{
			says: "a stream with a key", want: notSupported, without: streamsRun,
			cause: func(s *stage) answer { return s.call(call{op: opWatch, keys: []string{"key"}}) },
		},
		{
			says: "a stream of a method that requires a key", want: notSupported, without: streamsRun, setup: setup{required: true},
			cause: func(s *stage) answer { return s.call(call{op: opWatch}) },
		},
		{
			says: "a request that is too large to be protected", want: tooLarge(), without: onlyHTTP,
			cause: func(s *stage) answer { return s.call(call{text: string(make([]byte, 1<<20)), keys: []string{"key"}}) },
		},
		{says: "a malformed key", want: keyInvalid, cause: func(s *stage) answer { return s.pay("two words") }},
		{says: "several keys", want: keyInvalid, cause: func(s *stage) answer { return s.pay("one", "two") }},
		{
			says: "the same key with another request, after it", want: keyReused, runs: 1,
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusExecuted)

				return s.call(call{text: "another", keys: []string{"key"}})
			},
		},
		{
			says: "the same key with another request, during it", want: reused("running"), runs: 1,
			cause: func(s *stage) answer { return s.whileRunning(call{text: "another", keys: []string{"key"}}) },
		},
		{
			says: "the same key with another request, after an unknown outcome", want: reused("unknown"), runs: 1,
			setup: setup{work: failing(codes.Internal)},
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusUnknown)

				return s.call(call{text: "another", keys: []string{"key"}})
			},
		},
		{
			says: "the same key with another request, after a release", want: reused("released"), runs: 1,
			setup: setup{work: giving(result{code: codes.Internal, marked: true, class: onlyonce.ClassNotExecuted})},
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusReleased)

				return s.call(call{text: "another", keys: []string{"key"}})
			},
		},
		{
			says: "a time-ordered key that is older than the key life", want: keyExpired, setup: timeOrdered(),
			cause: func(s *stage) answer { return s.pay(madeIn(-24 * time.Hour)) },
		},
		{
			says: "a time-ordered key of the future", want: keyInvalid, setup: timeOrdered(),
			cause: func(s *stage) answer { return s.pay(madeIn(time.Hour)) },
		},
		{
			says: "a duplicate of a running call that may not wait", want: inProgress, runs: 1,
			setup: setup{policy: onlyonce.Policy{MaxWait: onlyonce.NoWait}},
			cause: func(s *stage) answer { return s.whileRunning(call{text: "4711", keys: []string{"key"}}) },
		},
		{
			says: "a run that was overtaken, and the other has no outcome yet", want: leaseLost, runs: 1,
			setup: setup{store: overtaking(), policy: onlyonce.Policy{MaxWait: onlyonce.NoWait, Guarantee: onlyonce.AtLeastOnce}},
			cause: func(s *stage) answer { return s.pay("key") },
		},
		{
			says: "an earlier run was ambiguous", want: outcomeUnknown, runs: 1, setup: setup{work: failing(codes.Internal)},
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusUnknown)

				return s.pay("key")
			},
		},
		{
			says: "the answer was too large to keep", want: outcomeNotStored, runs: 1, setup: setup{policy: onlyonce.Policy{MaxOutcome: 5}},
			cause: func(s *stage) answer {
				a := s.pay("key")
				s.mustSay(a, "run 1")
				s.mustBe(a, onlyonce.StatusExecuted)

				return s.pay("key")
			},
		},
		{
			says: "the answer was flushed", want: outcomeNotStored, runs: 1, without: onlyHTTP,
			cause: func(s *stage) answer {
				a := s.call(call{op: opWatch, keys: []string{"key"}})
				s.mustSay(a, "run 1")
				s.mustBe(a, onlyonce.StatusExecuted)

				return s.call(call{op: opWatch, keys: []string{"key"}})
			},
		},
		{
			says: "the store cannot be reached", want: storeUnavailable, setup: setup{store: down()},
			cause: func(s *stage) answer { return s.pay("key") },
		},
		{
			says: "the server is shutting down", want: storeUnavailable,
			cause: func(s *stage) answer {
				if err := s.engine.Drain(s.Context()); err != nil {
					s.Errorf("Drain: %v", err)
				}

				return s.pay("key")
			},
		},
		{
			says: "the store is full", want: storeFull, runs: 1, setup: setup{store: memstore.New(memstore.WithMaxRecords(1))},
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusExecuted)

				return s.pay("another")
			},
		},
		{
			says: "the scope finds no caller", want: scopeMissing, setup: setup{noScope: true},
			cause: func(s *stage) answer { return s.pay("key") },
		},
		{
			says: "the record is damaged", want: recordUnreadable, runs: 1, setup: setup{store: damaging()},
			cause: func(s *stage) answer {
				s.mustBe(s.pay("key"), onlyonce.StatusExecuted)

				return s.pay("key")
			},
		},
		{
			says: "the record was written by a newer build", want: recordNewer, setup: setup{store: refusing(store.ErrNewer)},
			cause: func(s *stage) answer { return s.pay("key") },
		},
	}

	rows := make([]row, 0, len(cases))

	for _, c := range cases { //nolint:gocritic // a table
		rows = append(rows, row{
			says: "`" + string(c.want.reason) + "`: " + c.says, without: c.without,
			setup: func() setup { return c.setup },
			check: func(s *stage) string {
				a := c.cause(s)
				s.mustHaveRun(c.runs)

				if s.wire.form == formGateway && c.want.reason == onlyonce.ReasonNotSupported {
					return s.mustBeStreamError(a, c.want)
				}

				looks := s.mustBeRejected(a, c.want)

				return looks
			},
		})
	}

	return rows
}

func reused(first string) rejection {
	r := keyReused
	r.first = first

	return r
}

func tooLarge() rejection {
	r := notSupported
	r.status = http.StatusRequestEntityTooLarge

	return r
}

func streamsRun(w *wire) string {
	if w.inProcess {
		return "The channel in the process has no streams: they fail with 501, with or without a key, and nothing runs."
	}

	if w.form == formHTTP {
		return "Every answer of net/http may be a stream: a handler that flushes runs, and duplicates get `IDEMPOTENCY_OUTCOME_NOT_STORED`."
	}

	return ""
}

// mustBeStreamError checks the rejection of a stream by a gateway. grpc-gateway has a form of its own for the errors of streams.
func (s *stage) mustBeStreamError(a answer, want rejection) string {
	s.Helper()

	s.mustBe(a, onlyonce.StatusRejected)

	if a.ok || a.status != want.httpStatus() || a.reason != string(want.reason) || a.domain != "onlyonce" || a.message == "" {
		s.Errorf("no rejection of a stream: %+v", a)
	}

	return strconv.Itoa(a.status)
}

func onlyHTTP(w *wire) string {
	if w.form != formHTTP {
		return "A property of net/http: its requests and answers have no bound of their own, and its answers may be sent in parts."
	}

	return ""
}

// whileRunning sends a call while a payment with the same key runs, and lets the payment end.
func (s *stage) whileRunning(c call) answer {
	s.Helper()

	began, finish := make(chan struct{}), make(chan struct{})

	s.answers(func(context.Context, request) result {
		close(began)
		<-finish

		return result{text: "paid"}
	})

	first := s.background(call{text: "4711", keys: []string{"key"}})
	<-began

	a := s.call(c)

	close(finish)
	s.mustSay(<-first, "paid")

	return a
}
