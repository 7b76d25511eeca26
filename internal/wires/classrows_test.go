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

// classRows are the results of every gRPC code, and of HTTP statuses.
func classRows() []row {
	var rows []row

	for _, code := range []codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange, codes.PermissionDenied,
		codes.Unauthenticated,
	} {
		rows = append(rows, row{
			says: "definite: " + codeName(code), without: needsCodes, setup: func() setup { return setup{work: failing(code)} }, check: isDefinite,
		})
	}

	for _, code := range []codes.Code{
		codes.Unknown, codes.Internal, codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted,
		codes.Unimplemented, codes.DataLoss,
	} {
		rows = append(rows, row{
			says: "ambiguous: " + codeName(code), without: needsCodes, setup: func() setup { return setup{work: failing(code)} }, check: isAmbiguous,
		})
	}

	for _, status := range []int{
		http.StatusOK, http.StatusCreated, http.StatusFound, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusNotFound, http.StatusUnprocessableEntity,
	} {
		rows = append(rows, row{
			says: fmt.Sprintf("definite: %d %s", status, http.StatusText(status)), without: needsStatuses,
			setup: func() setup { return setup{work: giving(result{status: status, message: "so"})} }, check: isDefinite,
		})
	}

	for _, status := range []int{
		http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable,
	} {
		rows = append(rows, row{
			says: fmt.Sprintf("ambiguous: %d %s", status, http.StatusText(status)), without: needsStatuses,
			setup: func() setup { return setup{work: giving(result{status: status, message: "no"})} }, check: isAmbiguous,
		})
	}

	return append(rows,
		row{
			says: "definite: any error marked `Final`", check: isDefinite, setup: func() setup {
				return setup{work: giving(result{code: codes.DataLoss, message: "no", marked: true, class: onlyonce.ClassDefinite})}
			},
		},
		row{
			says: "not executed: an error marked `NotExecuted`; the next duplicate runs", check: func(s *stage) string {
				s.answers(giving(result{code: codes.NotFound, message: "no", marked: true, class: onlyonce.ClassNotExecuted}))
				s.mustBe(s.pay("key"), onlyonce.StatusReleased)
				s.answers(nil)
				s.mustSay(s.pay("key"), "run 2")

				return ""
			},
		},
		row{
			says: "ambiguous: the rejection of another server of the kit, which a handler passes on",
			setup: func() setup {
				return setup{work: giving(result{
					code: codes.FailedPrecondition, status: http.StatusUnprocessableEntity, message: "key is reused", passed: true,
				})}
			},
			check: func(s *stage) string {
				first := s.pay("key")
				s.mustBe(first, onlyonce.StatusUnknown)
				s.mustBeRejected(s.pay("key"), outcomeUnknown)
				s.mustHaveRun(1)

				if !s.wire.form.showsCodes() {
					return s.look(first)
				}

				if first.domain != "onlyonce.downstream" {
					s.Errorf("the domain is %q: %+v", first.domain, first)
				}

				return s.look(first) + ", domain `" + first.domain + "`"
			},
		},
		row{
			says: "kept for 24 hours by default", check: func(s *stage) string {
				kept := make(chan time.Duration, 1)
				spy := &faultStore{Store: memstore.New()}
				spy.claim = func(ctx context.Context, op store.Claim) (store.Result, error) {
					kept <- op.Retention

					return spy.Store.Claim(ctx, op)
				}

				other := s.wire.stage(s.T, setup{store: spy})
				other.mustBe(other.pay("key"), onlyonce.StatusExecuted)

				if got := <-kept; got != 24*time.Hour {
					s.Errorf("kept for %v", got)
				}

				return ""
			},
		},
		row{says: "ambiguous: a panic", setup: func() setup { return setup{work: giving(result{panics: true})} }, check: isAmbiguous},
		row{
			says: "ambiguous under `AtLeastOnce`: the next duplicate runs",
			setup: func() setup {
				return setup{work: failing(codes.Internal), policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}}
			},
			check: func(s *stage) string {
				s.mustBe(s.pay("key"), onlyonce.StatusUnknown)
				s.answers(nil)
				s.mustSay(s.pay("key"), "run 2")

				return ""
			},
		},
	)
}

func isDefinite(s *stage) string {
	first := s.pay("key")
	s.mustBe(first, onlyonce.StatusExecuted)
	s.mustBeReplayOf(s.pay("key"), first)
	s.mustHaveRun(1)

	return s.look(first)
}

func isAmbiguous(s *stage) string {
	first := s.pay("key")
	s.mustBe(first, onlyonce.StatusUnknown)

	if first.reason != "" {
		s.Errorf("the answer of the handler has a reason of the kit: %+v", first)
	}

	s.mustBeRejected(s.pay("key"), outcomeUnknown)
	s.mustHaveRun(1)

	return s.look(first)
}

// look describes an error on the wire.
func (s *stage) look(a answer) string {
	switch s.wire.form {
	case formConnect:
		return s.connectStatus(a)
	case formGateway, formHTTP:
		return strconv.Itoa(a.status)
	case formGRPC:
		return codeName(a.code)
	}

	return ""
}
