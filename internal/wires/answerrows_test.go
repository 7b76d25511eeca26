package wires_test

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
)

// failing is a handler that answers with a code.
func failing(code codes.Code) work { return giving(result{code: code, message: "no"}) }

// giving is a handler that always answers the same.
func giving(res result) work {
	return func(context.Context, request) result { return res }
}

// decorated is a result with all that a handler can add to it.
func decorated(res result) result {
	res.header = map[string]string{handlerHeader: "r-1"}
	res.trailer = map[string]string{handlerTrailer: "t-1"}

	return res
}

func answerRows() []row {
	status := func(want onlyonce.Status, says string, made setup) row {
		return row{says: "`" + string(want) + "`: " + says, setup: func() setup { return made }, check: func(s *stage) string {
			a := s.pay("key")
			s.mustBe(a, want)

			if len(a.metadata(replayedName))+len(a.metadata(executedName))+len(a.metadata(retentionName)) > 0 {
				s.Errorf("an answer that is no replay has its marks: %+v", a)
			}

			return s.place(a)
		}}
	}

	open := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}

	return append([]row{
		status(onlyonce.StatusExecuted, "a response", setup{}),
		status(onlyonce.StatusExecuted, "a definite error", setup{work: failing(codes.NotFound)}),
		status(onlyonce.StatusExecuted, "an error marked `Final`", setup{
			work: giving(result{code: codes.DataLoss, message: "no", marked: true, class: onlyonce.ClassDefinite}),
		}),
		status(onlyonce.StatusReleased, "an error marked `NotExecuted`", setup{
			work: giving(result{code: codes.Unavailable, message: "no", marked: true, class: onlyonce.ClassNotExecuted}),
		}),
		status(onlyonce.StatusUnknown, "an ambiguous error", setup{work: failing(codes.Unavailable)}),
		status(onlyonce.StatusUnknown, "an ambiguous error that releases the key", setup{
			work: failing(codes.Unavailable), policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce},
		}),
		status(onlyonce.StatusUnknown, "a panic", setup{work: giving(result{panics: true})}),
		status(onlyonce.StatusUnrecorded, "the outcome cannot be stored", setup{
			store: readOnly(), limits: onlyonce.Limits{SettleTimeout: 10 * time.Millisecond},
		}),
		status(onlyonce.StatusUnprotected, "fail-open", setup{store: down(), policy: open}),
		{says: "no status without a key", check: func(s *stage) string {
			s.mustHaveNoStatus(s.pay())

			return ""
		}},
		{
			says: "`idempotency-retention`, if it is not 24 hours", setup: func() setup {
				return setup{policy: onlyonce.Policy{Retention: time.Hour}}
			},
			check: func(s *stage) string {
				for _, a := range []answer{s.pay("key"), s.pay("key"), s.pay("two words")} { //nolint:gocritic // few
					if got := a.metadata(retentionName); len(got) != 1 || got[0] != "3600" {
						s.Errorf("%s is %q, want 3600: %+v", retentionName, got, a)
					}
				}

				return ""
			},
		},
	}, replayRows()...)
}

// place is where the status of an answer was.
func (s *stage) place(a answer) string {
	if len(a.trailer[statusName]) > 0 {
		if s.wire.form == formConnect {
			return "header `Trailer-…`"
		}

		return "trailer"
	}

	return "header"
}

func replayRows() []row {
	replayed := func(says string, without func(*wire) string, res result) row {
		return row{
			says: "replay: " + says, without: without, setup: func() setup { return setup{work: giving(res)} },
			check: func(s *stage) string {
				first := s.pay("key")
				s.mustBe(first, onlyonce.StatusExecuted)

				for name := range res.header {
					s.mustHave(first, name)
				}

				for name := range res.trailer {
					s.mustHave(first, name)
				}

				s.mustBeReplayOf(s.pay("key"), first)
				s.mustHaveRun(1)

				return ""
			},
		}
	}

	return []row{
		replayed("the same response, with the header and the trailer of the handler", nil, decorated(result{text: "paid"})),
		replayed("an empty response, which is an answer", nil, result{}),
		replayed("the same error, with its details, headers and trailers", needsCodes,
			decorated(result{code: codes.NotFound, message: "no such order: 4711 %/\u00e9", details: 2})),
		replayed("the same error, with its headers and trailers", needsStatuses, decorated(result{status: http.StatusNotFound, message: "no"})),
		{says: "a rejection and a replayed error come without a header of their own, so that native retries obey them", without: framedOnly,
			check: func(s *stage) string {
				s.answers(failing(codes.NotFound))

				for _, a := range []answer{s.pay("two words"), s.pay("key"), s.pay("key")} { //nolint:gocritic // few
					if a.hasFrame {
						s.Errorf("there is a header: %+v", a)
					}
				}

				return ""
			}},
		{says: "a duplicate of a running call waits and gets the replay", check: func(s *stage) string {
			finish := make(chan struct{})

			s.answers(func(context.Context, request) result {
				<-finish

				return result{text: "paid"}
			})

			c := call{text: "4711", keys: []string{"key"}}
			got := []<-chan answer{s.background(c), s.background(c)}

			until(s.T, "the duplicate", func() bool { return s.engine.Stats().Waiters == 1 })
			close(finish)

			answers := make(map[onlyonce.Status]answer)

			for _, one := range got {
				a := <-one
				s.mustSay(a, "paid")
				answers[s.status(&a)] = a
			}

			s.mustBeReplayOf(answers[onlyonce.StatusReplayed], answers[onlyonce.StatusExecuted])
			s.mustHaveRun(1)

			return ""
		}},
		{says: "a client that leaves: the run goes on, and the retry gets its answer", check: func(s *stage) string {
			began, finish := make(chan struct{}), make(chan struct{})

			s.answers(func(context.Context, request) result {
				close(began)
				<-finish

				return decorated(result{text: "paid"})
			})

			ctx, leave := context.WithCancel(s.Context())
			gone := make(chan struct{})

			go func() {
				defer close(gone)

				s.send(ctx, call{text: "4711", keys: []string{"key"}})
			}()

			<-began
			leave()
			<-gone
			close(finish)

			a := s.pay("key")
			s.mustSay(a, "paid")
			s.mustBe(a, onlyonce.StatusReplayed)
			s.mustHave(a, handlerHeader)
			s.mustHaveRun(1)

			return ""
		}},
	}
}
