package interceptor_test

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// statusRows are the values of the trailer, each by everything that brings it about.
func statusRows() []row {
	cases := []struct {
		status onlyonce.Status
		name   string
		code   codes.Code
		setup  func() setup
		handle handlerFunc
	}{
		{status: "executed", name: "a response"},
		{status: "executed", name: "a definite error", code: codes.NotFound, handle: failing(status.Error(codes.NotFound, "no"))},
		{
			status: "executed", name: "an error marked as final", code: codes.Internal,
			handle: failing(onlyonce.Final(status.Error(codes.Internal, "no"))),
		},
		{
			status: "released", name: "an error marked as not executed", code: codes.Unavailable,
			handle: failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))),
		},
		{status: "unknown", name: "an ambiguous error", code: codes.Unavailable, handle: failing(status.Error(codes.Unavailable, "no"))},
		{
			status: "unknown", name: "an ambiguous error that releases the key", code: codes.Unavailable,
			setup:  func() setup { return setup{server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})} },
			handle: failing(status.Error(codes.Unavailable, "no")),
		},
		{
			status: "unrecorded", name: "a response that could not be stored",
			setup: func() setup { return setup{store: newFaultStore().readOnly()} },
		},
		{
			status: "unrecorded", name: "a definite error that could not be stored", code: codes.NotFound,
			setup:  func() setup { return setup{store: newFaultStore().readOnly()} },
			handle: failing(status.Error(codes.NotFound, "no")),
		},
		{
			status: "unprotected", name: "a run without the store",
			setup: func() setup {
				return setup{
					store:  newFaultStore().down(),
					server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}),
				}
			},
		},
		{
			status: "unprotected", name: "an error of a run without the store", code: codes.Unavailable,
			setup: func() setup {
				return setup{
					store:  newFaultStore().down(),
					server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}),
				}
			},
			handle: failing(status.Error(codes.Unavailable, "no")),
		},
		{
			status: "rejected", name: "a call that was not run", code: codes.Unavailable,
			setup: func() setup { return setup{store: newFaultStore().down()} },
		},
	}

	rows := make([]row, 0, len(cases))

	for _, c := range cases {
		rows = append(rows, row{says: string(c.status) + ": " + c.name, setup: c.setup, check: func(s stage) {
			s.handle = c.handle
			a := s.pay(s.T, "key")
			a.mustHaveStatus(s.T, c.status)

			if got := status.Code(a.err); got != c.code {
				s.Errorf("the answer is %v, %v; want %v", a.resp, a.err, c.code)
			}

			for _, name := range []string{interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer} {
				if len(a.header.Get(name))+len(a.trailer.Get(name)) != 0 {
					s.Errorf("%s on an answer that is no replay", name)
				}
			}
		}})
	}

	return append(rows, replayRows()...)
}

// replayRows are the rules for replays.
func replayRows() []row {
	replayed := func(says string, handle handlerFunc) row {
		return row{says: says, check: func(s stage) {
			s.handle = handle
			first := s.pay(s.T, "key")
			first.mustHaveStatus(s.T, onlyonce.StatusExecuted)

			executed := time.Now()

			time.Sleep(time.Hour)
			s.pay(s.T, "key").mustBeReplayOf(s.T, first, executed)
			s.mustHaveRun(s.T, 1)
		}}
	}

	return []row{
		replayed("replayed: the same response, with header and trailer", rich(giving(odd()))),
		replayed("replayed: an empty response, which is an answer", giving(&pb.SimpleResponse{})),
		replayed("replayed: the same error, with all its details, and its headers as trailers", rich(failing(unseen(codes.NotFound)))),
		{says: "unknown: an earlier run ended ambiguously", check: func(s stage) {
			s.handle = failing(status.Error(codes.Internal, "no"))
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusUnknown)
			s.pay(s.T, "key").mustHaveStatus(s.T, onlyonce.StatusUnknown)
		}},
		{says: "a duplicate of a running call waits and then gets the replay", check: func(s stage) {
			s.handle = after(5*time.Second, answering("paid"))
			first, duplicate := s.payInBackground(s.T), s.payInBackground(s.T)
			answers := map[onlyonce.Status]answer{}

			for _, a := range []answer{<-first, <-duplicate} {
				a.mustAnswer(s.T, "paid")
				answers[a.status(s.T)] = a
			}

			answers[onlyonce.StatusReplayed].mustBeReplayOf(s.T, answers[onlyonce.StatusExecuted], time.Now())
			s.mustHaveRun(s.T, 1)
		}},
		{says: "a call without a key, or of a method that is not protected, has no status", check: func(s stage) {
			for _, a := range []answer{
				s.call(s.Context(), payment()),
				second(invoke[bankv1.BalanceResponse](withKey(s.Context(), "key"), startBank(s.T, setup{}, &branchBank{}).conn,
					balanceCall, &bankv1.BalanceRequest{})),
			} {
				if values := a.trailer.Get("idempotency-status"); a.err != nil || len(values) != 0 {
					s.Errorf("%v, with status %q", a.err, values)
				}
			}
		}},
	}
}

// classRows are the classes of all codes, unless the method overrides them.
func classRows() []row {
	outcome := func(
		says string, guarantee onlyonce.Guarantee, err error, first onlyonce.Status, second func(s stage, first, second answer),
	) row {
		return row{
			says: fmt.Sprintf("%s, %v", says, guarantee),
			setup: func() setup {
				return setup{store: txstore.New(), server: policy(onlyonce.Policy{Guarantee: guarantee})}
			},
			check: func(s stage) {
				s.handle = failing(err)
				a := s.pay(s.T, "key")
				a.mustHaveStatus(s.T, first)

				s.handle = answering("second run")
				second(s, a, s.pay(s.T, "key"))
			},
		}
	}

	replays := func(s stage, first, second answer) { second.mustBeReplayOf(s.T, first, time.Now()) }
	runs := func(s stage, _, second answer) { second.mustAnswer(s.T, "second run") }
	unknown := func(s stage, _, second answer) { second.mustBe(s.T, outcomeUnknown) }

	var rows []row

	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce, onlyonce.ExactlyOnce} {
		ambiguously := runs
		if guarantee == onlyonce.AtMostOnce {
			ambiguously = unknown
		}

		for _, code := range []codes.Code{
			codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
			codes.PermissionDenied, codes.Unauthenticated,
		} {
			rows = append(rows, outcome("definite: "+code.String(), guarantee, status.Error(code, "no"), onlyonce.StatusExecuted, replays))
		}

		for _, code := range []codes.Code{
			codes.Unknown, codes.Internal, codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled,
			codes.ResourceExhausted, codes.Unimplemented, codes.DataLoss,
		} {
			rows = append(rows, outcome("ambiguous: "+code.String(), guarantee, status.Error(code, "no"), onlyonce.StatusUnknown, ambiguously))
		}

		rows = append(rows,
			outcome("definite: any error marked Final", guarantee, onlyonce.Final(status.Error(codes.Internal, "no")),
				onlyonce.StatusExecuted, replays),
			outcome("not executed: an error marked NotExecuted", guarantee, onlyonce.NotExecuted(status.Error(codes.NotFound, "no")),
				onlyonce.StatusReleased, runs),
			outcome("ambiguous: an error that is no status", guarantee, errors.New("no"), onlyonce.StatusUnknown, ambiguously),
			outcome("ambiguous: a downstream onlyonce error of whatever code", guarantee, downstreamError(codes.FailedPrecondition),
				onlyonce.StatusUnknown, ambiguously),
		)
	}

	return append(rows, row{
		says: "a downstream onlyonce error leaves with domain onlyonce.downstream",
		check: func(s stage) {
			s.handle = failing(downstreamError(codes.FailedPrecondition))

			if domain := s.pay(s.T, "key").info(s.T).GetDomain(); domain != "onlyonce.downstream" {
				s.Errorf("the domain is %q", domain)
			}
		},
	})
}

// downstreamError is the error that a handler gets from another onlyonce server.
func downstreamError(code codes.Code) error {
	st, err := status.New(code, "elsewhere").WithDetails(&errdetails.ErrorInfo{Reason: "IDEMPOTENCY_KEY_REUSED", Domain: "onlyonce"})
	if err != nil {
		panic(err)
	}

	return st.Err()
}
