package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// inFrontOf is a handler that passes on the answer of another server, under a key that another request uses there.
func inFrontOf(back *world, pass func(error) error) handlerFunc {
	return func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		a := back.call(withKey(ctx, "taken"), otherPayment())

		return a.resp, pass(a.err)
	}
}

func asItIs(err error) error { return err }

func TestF57_RejectionOfADownstreamServerIsAmbiguous(t *testing.T) {
	tests := map[string]func(error) error{
		"as it is": asItIs,
		"wrapped":  func(err error) error { return fmt.Errorf("while paying: %w", err) },
	}

	for name, pass := range tests {
		t.Run(name, func(t *testing.T) {
			back := start(t, setup{}, nil)
			back.pay(t, "taken").mustHaveStatus(t, onlyonce.StatusExecuted)

			front := start(t, setup{}, inFrontOf(back, pass))
			a := front.pay(t, "key")

			// FAILED_PRECONDITION would be definite, and the domain would speak of this very call.
			if code := status.Code(a.err); code != codes.FailedPrecondition {
				t.Errorf("the answer is %v, %v", a.resp, a.err)
			}

			a.mustHaveStatus(t, onlyonce.StatusUnknown)

			if info := a.info(t); info.GetDomain() != "onlyonce.downstream" || info.GetReason() != "IDEMPOTENCY_KEY_REUSED" {
				t.Errorf("ErrorInfo is %v", info)
			}

			got := front.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata()["original_code"]
			if got != "FAILED_PRECONDITION" {
				t.Errorf("original_code is %q", got)
			}

			front.mustHaveRun(t, 1)
		})
	}
}

func TestF57_DownstreamOfDownstreamStaysDownstream(t *testing.T) {
	back := start(t, setup{}, nil)
	back.pay(t, "taken")

	middle := start(t, setup{}, inFrontOf(back, asItIs))
	front := start(t, setup{}, inFrontOf(middle, asItIs))

	a := front.pay(t, "key")
	a.mustHaveStatus(t, onlyonce.StatusUnknown)

	if info := a.info(t); info.GetDomain() != interceptor.DownstreamDomain {
		t.Errorf("ErrorInfo is %v", info)
	}
}

func TestF57_CallWithoutKeyIsRelabelledToo(t *testing.T) {
	back := start(t, setup{}, nil)
	back.pay(t, "taken")

	front := start(t, setup{}, inFrontOf(back, asItIs))
	a := front.call(t.Context(), payment())

	if info := a.info(t); info.GetDomain() != interceptor.DownstreamDomain {
		t.Errorf("ErrorInfo is %v", info)
	}
}

func TestF57_HandlerMayKnowBetter(t *testing.T) {
	back := start(t, setup{}, nil)
	back.pay(t, "taken")

	for said, pass := range map[onlyonce.Status]func(error) error{"executed": onlyonce.Final, "released": onlyonce.NotExecuted} {
		front := start(t, setup{}, inFrontOf(back, pass))
		a := front.pay(t, "key")
		a.mustHaveStatus(t, said)

		if info := a.info(t); info.GetDomain() != interceptor.DownstreamDomain {
			t.Errorf("ErrorInfo is %v", info)
		}
	}
}

func TestF57_OtherDetailsAndDomainsAreLeftAlone(t *testing.T) {
	theirs := &errdetails.ErrorInfo{Reason: "NO_FUNDS", Domain: "bank.test"}

	st, err := status.New(codes.FailedPrecondition, "no funds").WithDetails(theirs, &errdetails.RetryInfo{})
	if err != nil {
		t.Fatal(err)
	}

	w := start(t, setup{}, failing(st.Err()))
	first := w.pay(t, "key")
	first.mustHaveStatus(t, onlyonce.StatusExecuted)

	if info := first.info(t); info.GetDomain() != "bank.test" || len(detail[*errdetails.RetryInfo](first)) != 1 {
		t.Errorf("the details are %v", status.Convert(first.err).Details())
	}

	w.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, w))
}

func TestF57_ClientDoesNotTakeADownstreamRejectionForItsOwn(t *testing.T) {
	back := start(t, setup{scope: noScope}, nil)
	front := start(t, setup{}, inFrontOf(back, asItIs))

	_, err := front.client(t).UnaryCall(t.Context(), payment())
	if outcome := onlyonce.VerdictOf(err); outcome != onlyonce.VerdictUnknown {
		t.Errorf("the outcome is %v, but the handler of %v has run", outcome, err)
	}
}

// The handler has made two calls. One has its answer, and the outcome of the other is unknown.
func TestJoinedErrorsOfWhichOneMayHaveTakenEffectAreNotRecorded(t *testing.T) {
	answered := start(t, setup{}, failing(status.Error(codes.NotFound, "no such item"))).client(t)
	open := start(t, setup{}, failing(status.Error(codes.Internal, "charged, and crashed"))).client(t)

	for name, clients := range map[string][]pb.TestServiceClient{
		"answered-first": {answered, open}, "answered-last": {open, answered},
	} {
		front := start(t, setup{}, func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			errs := make([]error, 0, len(clients))

			for _, client := range clients {
				_, err := client.UnaryCall(ctx, req)
				errs = append(errs, err)
			}

			return nil, errors.Join(errs...)
		})

		front.pay(t, name).mustHaveStatus(t, onlyonce.StatusUnknown)
		front.pay(t, name).mustHaveStatus(t, onlyonce.StatusUnknown)
		front.mustHaveRun(t, 1)
	}
}

// The run before has paid. A check in front of the back refuses the repeated call, which does not prove that nothing happened.
func TestErrorOfACallThatMayHaveTakenEffectIsNotRecorded(t *testing.T) {
	var refused bool

	expired := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if refused {
			return nil, status.Error(codes.Unauthenticated, "the token has expired")
		}

		return handle(ctx, req)
	}

	back := start(t, setup{before: []grpc.UnaryServerInterceptor{expired}}, nil)
	client := back.client(t, interceptor.WithAllMethods())

	var pass func(error) error

	atLeastOnce := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
	front := start(t, setup{server: atLeastOnce}, func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		resp, err := client.UnaryCall(ctx, req)
		if err != nil {
			return nil, pass(err)
		}

		if !refused {
			return nil, status.Error(codes.Unavailable, "the run ends here")
		}

		return resp, nil
	})

	for name, how := range map[string]func(error) error{
		"as-it-is": asItIs,
		"wrapped":  func(err error) error { return fmt.Errorf("while paying: %w", err) },
	} {
		pass, refused = how, false
		front.pay(t, name).mustHaveStatus(t, onlyonce.StatusUnknown)

		refused = true

		a := front.pay(t, name)
		a.mustHaveStatus(t, onlyonce.StatusUnknown)

		if code := status.Code(a.err); code != codes.Unauthenticated {
			t.Errorf("the answer is %v", a.err)
		}
	}

	pass = onlyonce.Final
	front.pay(t, "handlers-know").mustHaveStatus(t, onlyonce.StatusExecuted)
	back.mustHaveRun(t, 2)
}
