package interceptor_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// translating is a handler that calls the back, and reports a failure in its own words.
func translating(c *chain, pass func(error) error) handlerFunc {
	return func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		a := c.next(ctx, req)
		if a.err == nil {
			return a.resp, nil
		}

		return nil, pass(status.Errorf(codes.FailedPrecondition, "payment failed: %v", a.err))
	}
}

// open lists the ends of a downstream call whose effect is unknown.
func open() map[string]handlerFunc {
	return map[string]handlerFunc{
		"UNAVAILABLE after the effect": failing(status.Error(codes.Unavailable, "charged, and the provider has gone")),
		"UNKNOWN":                      failing(status.Error(codes.Unknown, "charged?")),
		"INTERNAL":                     failing(status.Error(codes.Internal, "charged, and crashed")),
	}
}

func TestF73_TranslatedErrorOfAnOpenDownstreamCallIsAmbiguous(t *testing.T) {
	for name, end := range open() {
		t.Run(name, func(t *testing.T) {
			c := startChain(t, setup{})
			c.back.handle = end
			c.front.handle = translating(c, asItIs)

			a := c.front.pay(t, "key")
			a.mustHaveStatus(t, onlyonce.StatusUnknown)

			if status.Code(a.err) != codes.FailedPrecondition {
				t.Errorf("the caller got %v, want the handler's own error", a.err)
			}

			if rec := c.front.record(t.Context(), t); rec.State != store.Unknown || rec.Code != "FAILED_PRECONDITION" {
				t.Errorf("the record is %v with code %q", rec.State, rec.Code)
			}

			if got := c.front.pay(t, "key").mustBe(t, outcomeUnknown).GetMetadata()["original_code"]; got != "FAILED_PRECONDITION" {
				t.Errorf("original_code is %q", got)
			}

			c.front.mustHaveRun(t, 1)
			c.back.mustHaveRun(t, 1)
		})
	}
}

// A run that may be repeated is repeated, and so settles its downstream call.
func TestF73_TranslatedErrorOfAnOpenDownstreamCallIsNotReplayedWhereRunsRepeat(t *testing.T) {
	for name, front := range map[string]setup{
		"AT_LEAST_ONCE":                    {server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})},
		"EXACTLY_ONCE, single transaction": exactly(onlyonce.SingleTransaction),
		"EXACTLY_ONCE, joined transaction": exactly(onlyonce.JoinedTransaction),
	} {
		t.Run(name, func(t *testing.T) {
			c := startChain(t, front)
			c.front.handle = translating(c, asItIs)
			c.back.handle = failing(status.Error(codes.Internal, "charged, and crashed"))

			c.front.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)

			charged := c.keys(t, 1)[0]
			rec, err := c.back.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: charged})

			if err != nil {
				t.Fatal(err)
			}

			if err := c.back.engine.Resolve(t.Context(), rec, found(t, &pb.SimpleResponse{Username: "charged"}, nil)); err != nil {
				t.Fatal(err)
			}

			a := c.front.pay(t, "key")
			a.mustAnswer(t, "charged")
			a.mustHaveStatus(t, onlyonce.StatusExecuted)
			c.front.mustHaveRun(t, 2)
			c.back.mustHaveRun(t, 1)
		})
	}
}

func TestF73_MarkOfTheHandlerOverridesTheClassifier(t *testing.T) {
	for said, pass := range map[onlyonce.Status]func(error) error{
		onlyonce.StatusExecuted: onlyonce.Final, onlyonce.StatusReleased: onlyonce.NotExecuted,
	} {
		for name, end := range open() {
			t.Run(string(said)+", "+name, func(t *testing.T) {
				c := startChain(t, setup{})
				c.back.handle = end
				c.front.handle = translating(c, pass)

				a := c.front.pay(t, "key")
				a.mustHaveStatus(t, said)

				if status.Code(a.err) != codes.FailedPrecondition {
					t.Errorf("the caller got %v", a.err)
				}
			})
		}
	}
}

func TestF73_TranslatedErrorOfASettledDownstreamCallStaysDefinite(t *testing.T) {
	crashed := failing(status.Error(codes.Internal, "crashed"))

	for name, test := range map[string]struct {
		back  handlerFunc
		front func(c *chain, ctx context.Context, req *pb.SimpleRequest)
	}{
		"a definite error": {back: failing(status.Error(codes.NotFound, "no such account"))},
		"nothing happened": {back: failing(onlyonce.NotExecuted(status.Error(codes.Internal, "no")))},
		"a success":        {back: answering("paid")},
		"a call that was refused because its step is used": {
			back: answering("paid"),
			front: func(c *chain, ctx context.Context, req *pb.SimpleRequest) {
				c.next(ctx, req).mustAnswer(t, "paid")
				c.next(ctx, req).mustAskForAStep(t)
			},
		},
		"open at first, and released when it was repeated": {
			front: func(c *chain, ctx context.Context, req *pb.SimpleRequest) {
				c.back.handle = crashed
				c.next(ctx, req)

				sent := c.keys(t, 1)[0]
				rec, err := c.back.engine.Lookup(ctx, onlyonce.Identity{Scope: "shared", Method: unaryCall, Key: sent})

				if err != nil {
					t.Error(err)
				}

				if err := c.back.engine.Resolve(ctx, rec, found(t, nil, status.Error(codes.NotFound, "no such account"))); err != nil {
					t.Error(err)
				}

				c.next(ctx, req).mustFail(t, codes.NotFound, "no such account")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := startChain(t, setup{})
			c.back.handle = test.back

			c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				if test.front != nil {
					test.front(c, ctx, req)
				} else {
					c.next(ctx, req)
				}

				return nil, status.Error(codes.FailedPrecondition, "this cannot be ordered")
			}

			first := c.front.pay(t, "key")
			first.mustFail(t, codes.FailedPrecondition, "this cannot be ordered")
			first.mustHaveStatus(t, onlyonce.StatusExecuted)
			c.front.pay(t, "key").mustBeReplayOf(t, first, executedAt(t, c.front))
			c.front.mustHaveRun(t, 1)
		})
	}
}

// The handler does not wait for one of its calls, and fails because of something else.
func TestF73_DefiniteErrorWhileADownstreamCallIsUnderWayIsAmbiguous(t *testing.T) {
	c := startChain(t, setup{})
	arrived, leave, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})

	c.back.handle = func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		close(arrived)
		<-leave

		return &pb.SimpleResponse{}, nil
	}

	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		go func() {
			defer close(ended)

			c.next(context.WithoutCancel(ctx), req)
		}()

		<-arrived

		return nil, status.Error(codes.FailedPrecondition, "another check has failed")
	}

	c.front.pay(t, "key").mustHaveStatus(t, onlyonce.StatusUnknown)
	close(leave)
	<-ended
	c.front.pay(t, "key").mustBe(t, outcomeUnknown)
	c.front.mustHaveRun(t, 1)
}
