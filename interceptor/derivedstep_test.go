package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// mustAskForAStep checks an answer to a call that was not sent.
func (a answer) mustAskForAStep(t *testing.T) {
	t.Helper()

	if status.Code(a.err) != codes.FailedPrecondition || !errors.Is(a.err, onlyonce.ErrStepUsed) ||
		onlyonce.VerdictOf(a.err) != onlyonce.VerdictNotExecuted ||
		!strings.Contains(a.err.Error(), unaryCall) || !strings.Contains(a.err.Error(), `onlyonce.WithStep(ctx, "line-7")`) {
		t.Errorf("the answer is %v, %v, and does not ask for a step", a.resp, a.err)
	}
}

func TestSecondCallOfARunFailsLocallyAndItsErrorRequiresAStep(t *testing.T) {
	c := startChain(t, setup{})

	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		c.next(ctx, req).mustAnswer(t, "run 1")
		c.next(ctx, req).mustAskForAStep(t)
		c.next(context.WithoutCancel(ctx), otherPayment()).mustAskForAStep(t)

		return &pb.SimpleResponse{Username: "placed"}, nil
	}

	c.front.pay(t, "order-1").mustAnswer(t, "placed")
	c.keys(t, 1)
}

func TestConcurrentCallOfARunFailsLocallyAndItsErrorRequiresAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startChain(t, setup{})
		c.back.handle = after(time.Second, answering("paid"))

		c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			first := background(func() answer { return c.next(ctx, req) })

			synctest.Wait()
			c.next(ctx, req).mustAskForAStep(t)

			a := <-first

			return a.resp, a.err
		}

		c.front.pay(t, "order-1").mustAnswer(t, "paid")
		c.keys(t, 1)
	})
}

func TestStepsThatAreNamedHaveKeysOfTheirOwn(t *testing.T) {
	c := startChain(t, setup{})

	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		answers := make(chan answer)

		for _, line := range []string{"line-6", "line-7", ""} {
			go func() { answers <- c.next(onlyonce.WithStep(ctx, line), req) }()
		}

		for range 3 {
			if a := <-answers; a.err != nil {
				t.Error(a.err)
			}
		}

		return &pb.SimpleResponse{Username: "placed"}, nil
	}

	c.front.pay(t, "order-1").mustAnswer(t, "placed")
	c.back.mustHaveRun(t, 3)

	if keys := c.keys(t, 3); keys[0] == keys[1] || keys[1] == keys[2] || keys[0] == keys[2] {
		t.Errorf("the keys are %q", keys)
	}
}

func TestRepeatAfterAnErrorReusesTheKey(t *testing.T) {
	c := startChain(t, setup{}, interceptor.WithRetry(retry.Policy{MaxAttempts: 1}))
	c.back.handle = scriptedHandlers(failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))), answering("paid"))

	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		c.next(ctx, req).mustFail(t, codes.Unavailable, "no")

		a := c.next(ctx, req)
		c.next(ctx, req).mustAskForAStep(t)

		return a.resp, a.err
	}

	c.front.pay(t, "order-1").mustAnswer(t, "paid")

	if keys := c.keys(t, 2); keys[0] != keys[1] {
		t.Errorf("the keys are %q", keys)
	}
}

func TestAttemptsOfOneCallAreOneUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startChain(t, setup{})
		c.back.handle = scriptedHandlers(failing(onlyonce.NotExecuted(status.Error(codes.Unavailable, "no"))), answering("paid"))
		c.front.pay(t, "order-1").mustAnswer(t, "paid")

		if keys := c.keys(t, 2); keys[0] != keys[1] {
			t.Errorf("the keys are %q", keys)
		}
	})
}

func TestCallThatPanicsMayBeRepeated(t *testing.T) {
	c := startChain(t, setup{})
	keyHalf, _ := halves(t)
	first := true

	c.conn = c.back.dial(t, grpc.WithChainUnaryInterceptor(keyHalf, func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		if first {
			first = false

			panic("on the way")
		}

		return invoker(ctx, method, req, reply, cc, opts...)
	}))

	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		func() {
			defer func() { _ = recover() }()

			c.next(ctx, req)
		}()

		a := c.next(ctx, req)

		return a.resp, a.err
	}

	c.front.pay(t, "order-1").mustAnswer(t, "run 1")
}

// F73: a run that polls without naming its steps gets an error that explains how to name them. The key is not left
// unknown: that error is its answer.
func TestF73_RunThatUsesAMethodTwiceWithoutStepsLeavesNothingUnknown(t *testing.T) {
	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		for name, pass := range map[string]func(error) error{
			"as it is": func(err error) error { return err },
			"wrapped":  func(err error) error { return fmt.Errorf("polling: %w", err) },
		} {
			t.Run(guarantee.String()+", "+name, func(t *testing.T) {
				c := startChain(t, setup{server: policy(onlyonce.Policy{Guarantee: guarantee})})

				c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					c.next(ctx, req).mustAnswer(t, "run 1")

					return nil, pass(c.next(ctx, req).err)
				}

				a := c.front.pay(t, "order-1")
				a.mustHaveStatus(t, onlyonce.StatusExecuted)

				again := c.front.pay(t, "order-1")
				again.mustHaveStatus(t, onlyonce.StatusReplayed)

				for _, err := range []error{a.err, again.err} {
					if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), `onlyonce.WithStep(ctx, "line-7")`) {
						t.Errorf("the answer is %v, and does not name the remedy", err)
					}
				}

				c.front.mustHaveRun(t, 1)
				c.keys(t, 1)
			})
		}
	}
}
