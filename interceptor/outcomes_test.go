package interceptor_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
)

// definite are the codes that the contract lists as definite.
func definite(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
		codes.PermissionDenied, codes.Unauthenticated:
		return true
	default:
		return false
	}
}

// contractName is how the contract writes a code.
var contractName = map[codes.Code]string{
	codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Aborted: "ABORTED",
	codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL",
	codes.Unavailable: "UNAVAILABLE", codes.DataLoss: "DATA_LOSS",
}

func TestF32_WhatBecomesOfEveryCode(t *testing.T) {
	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce, onlyonce.ExactlyOnce} {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			for _, marked := range []string{"", "Final", "NotExecuted"} {
				t.Run(fmt.Sprintf("%v/%v %s", guarantee, code, marked), func(t *testing.T) {
					err := status.Error(code, "no")

					switch marked {
					case "Final":
						err = onlyonce.Final(err)
					case "NotExecuted":
						err = onlyonce.NotExecuted(err)
					}

					w := start(t, setup{store: txstore.New(), server: policy(onlyonce.Policy{Guarantee: guarantee})}, failing(err))
					first := w.pay(t, "key")
					first.mustFail(t, code, "no")

					w.handle = answering("second run")

					switch {
					case marked == "NotExecuted":
						first.mustHaveStatus(t, onlyonce.StatusReleased)
						w.pay(t, "key").mustAnswer(t, "second run")
						w.mustHaveRun(t, 2)
					case marked == "Final" || definite(code):
						first.mustHaveStatus(t, onlyonce.StatusExecuted)
						w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
						w.mustHaveRun(t, 1)
					case guarantee == onlyonce.AtMostOnce:
						first.mustHaveStatus(t, onlyonce.StatusUnknown)

						if got := w.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata()["original_code"]; got != contractName[code] {
							t.Errorf("original_code is %q, want %q", got, contractName[code])
						}

						w.mustHaveRun(t, 1)
					default:
						first.mustHaveStatus(t, onlyonce.StatusUnknown)
						w.pay(t, "key").mustAnswer(t, "second run")
						w.mustHaveRun(t, 2)
					}
				})
			}
		}
	}
}

func TestOwnCodesOfHandlersAreAmbiguous(t *testing.T) {
	w := start(t, setup{}, failing(status.Error(codes.Code(99), "no")))
	w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)
	w.pay(t, "key").mustBe(t, outcomeUnknown)
}

// fine is an error with the code OK.
type fine struct{}

func (fine) Error() string              { return "all is well" }
func (fine) GRPCStatus() *status.Status { return status.New(codes.OK, "all is well") }

func TestErrorWithCodeOKIsAmbiguous(t *testing.T) {
	for name, err := range map[string]error{"plain": fine{}, "final": onlyonce.Final(fine{})} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{}, failing(err))
			w.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)
			w.pay(t, "key").mustBe(t, outcomeUnknown)
			w.mustHaveRun(t, 1)
		})
	}
}

// recovery turns panics into errors, as an interceptor in front of ours would.
func recovery(caught *any) []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
			defer func() {
				if p := recover(); p != nil {
					*caught = p
					err = status.Error(codes.Internal, "recovered")
				}
			}()

			return handler(ctx, req)
		},
	}
}

func TestF33_PanicIsRecordedAndRaisedAgain(t *testing.T) {
	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce, onlyonce.ExactlyOnce} {
		t.Run(guarantee.String(), func(t *testing.T) {
			var caught any

			w := start(t, setup{
				store: txstore.New(), server: policy(onlyonce.Policy{Guarantee: guarantee}), before: recovery(&caught),
			}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("x-cost", "3"))

				panic("out of paper")
			})

			first := w.pay(t, "key")
			first.mustFail(t, codes.Internal, "recovered")
			first.mustHaveStatus(t, onlyonce.StatusUnknown)

			if caught != "out of paper" || len(first.trailer.Get("x-cost")) != 1 {
				t.Errorf("recovered %v, trailer %v", caught, first.trailer)
			}

			w.handle = answering("second run")

			if guarantee == onlyonce.AtMostOnce {
				if got := w.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata()["original_code"]; got != "PANIC" {
					t.Errorf("original_code is %q, want PANIC", got)
				}

				w.mustHaveRun(t, 1)

				return
			}

			w.pay(t, "key").mustAnswer(t, "second run")
			w.mustHaveRun(t, 2)
		})
	}
}

func TestF34_AnswerOverTheSizeCapIsDoneWithoutItsBody(t *testing.T) {
	const limit = 1000

	// The body that is recorded is the response and two bytes or more around it.
	for size, kept := range map[int]bool{limit / 2: true, limit + 1: false, 100 * limit: false} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			w := start(t, setup{server: policy(onlyonce.Policy{MaxOutcome: limit})},
				rich(func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					return &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, size)}}, nil
				}))

			first := w.pay(t, "key")
			if n := len(first.resp.GetPayload().GetBody()); n != size || len(first.header.Get("x-first")) != 1 {
				t.Errorf("the first caller got %d bytes, header %v, %v", n, first.header, first.err)
			}

			first.mustHaveStatus(t, onlyonce.StatusExecuted)

			if kept {
				w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
			} else if got := w.pay(t, "key").mustBe(t, outcomeNotStored).GetMetadata()["original_code"]; got != "OK" {
				t.Errorf("original_code is %q, want OK", got)
			}

			w.mustHaveRun(t, 1)
		})
	}
}

func TestAnswerThatCannotBeEncodedIsAmbiguous(t *testing.T) {
	w := start(t, setup{}, answering("not text: \xff"))

	first := w.pay(t, "key")
	first.mustHaveStatus(t, onlyonce.StatusUnknown)

	if code := status.Code(first.err); code != codes.Internal {
		t.Errorf("the answer is %v, %v", first.resp, first.err)
	}

	w.pay(t, "key").mustBe(t, outcomeUnknown)
	w.mustHaveRun(t, 1)
}

func TestClassesOfAMethodReplaceTheTable(t *testing.T) {
	w := start(t, setup{server: keyPolicy(interceptor.Policy{Classes: map[codes.Code]onlyonce.Class{
		codes.Aborted:         onlyonce.ClassNotExecuted,
		codes.Internal:        onlyonce.ClassDefinite,
		codes.InvalidArgument: onlyonce.ClassAmbiguous,
	}})}, nil)

	for code, said := range map[codes.Code]onlyonce.Status{
		codes.Aborted: "released", codes.Internal: "executed", codes.InvalidArgument: "unknown", codes.NotFound: "executed",
	} {
		w.handle = failing(status.Error(code, "no"))
		w.pay(t, "key-"+code.String()).mustHaveStatus(t, said)
	}

	w.handle = failing(onlyonce.Final(status.Error(codes.Aborted, "no")))
	w.pay(t, "key").mustHaveStatus(t, "executed") // the mark goes before the table
}
