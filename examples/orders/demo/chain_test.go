//go:build unix

package demo

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// openShop starts the services, without network faults. The orders service stops at a hook, if one is named.
func openShop(t *testing.T, parkAt string) *stage {
	t.Helper()

	d := newDemo(1, t.TempDir())
	d.orders[0].pieces = []int64{2, 3} // two lines
	d.faults = faultynet.Faults{}
	d.parkAt = parkAt
	quietly(t, d)

	ctx, fail := context.WithCancelCause(context.WithoutCancel(t.Context())) // it is closed below

	s, err := d.open(ctx, false, fail)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := context.Cause(ctx); err != nil {
			t.Error(err)
		}

		if err := s.close(ctx); err != nil {
			t.Error(err)
		}

		fail(nil)
	})

	return s
}

// restart kills the orders service and starts it again as it is configured by change.
func restartOrders(t *testing.T, s *stage, change func(*service.Config)) {
	t.Helper()

	m := s.members[service.Orders]
	m.kill()
	change(&m.config)

	if err := s.launch(m); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, s *stage, name string) *grpc.ClientConn {
	t.Helper()

	trace, err := service.OpenTrace(customers, s.trace)
	if err != nil {
		t.Fatal(err)
	}

	cc, err := service.Dial(s.members[name].line.Addr(), trace, service.Retry(5*time.Second), false)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		cc.Close()
		trace.Close()
	})

	return cc
}

// count counts the events of the kit in a service.
func count(t *testing.T, s *stage, name string, said func(*service.Entry) bool) (n int) {
	t.Helper()

	entries, err := readTrace(s.trace)
	if err != nil {
		t.Fatal(err)
	}

	for i := range entries {
		if e := &entries[i]; e.Kind == service.KindEvent && e.Service == name && said(e) {
			n++
		}
	}

	return n
}

func ended(as onlyonce.Status) func(*service.Entry) bool {
	return func(e *service.Entry) bool { return e.What == onlyonce.EventCall.String() && e.Status == string(as) }
}

func takenOver(e *service.Entry) bool { return e.What == onlyonce.EventTakeover.String() }

func TestF01F02F05MiddleOfAChainIsKilledAtEachHookAndEveryEffectHappensOnce(t *testing.T) {
	for _, at := range []struct {
		hook string
		// again is whether the handler runs again, and repeated whether the payment must be requested again. A slow machine repeats it
		// in any case.
		again, repeated bool
	}{
		{service.HookClaimed, true, false},
		{service.HookCharged, true, true},
		{service.HookWithdrawn, true, true},
		{service.HookCommitted, false, false},
	} {
		t.Run(at.hook, func(t *testing.T) {
			s := openShop(t, at.hook)
			client := shopv1.NewGatewayServiceClient(dial(t, s, service.Gateway))
			answered := make(chan error, 1)

			go func() { answered <- s.checkout(t.Context(), client, &s.demo.orders[0]) }()

			if line, err := s.members[service.Orders].process.Line(); line != "parked" {
				t.Fatalf("the orders service says %q, %v", line, err)
			}

			takeovers := 0 // before the kill, by a duplicate of a run that stood still for longer than its lease

			restartOrders(t, s, func(c *service.Config) {
				c.ParkAt = ""
				takeovers = count(t, s, service.Orders, takenOver)
			})

			if err := <-answered; err != nil {
				t.Errorf("the customer got %v", err)
			}

			if err := s.settle(t.Context()); err != nil {
				t.Error(err)
			}

			if a, err := s.audit(t.Context()); err != nil || !a.good(1) || a.movements != 2 {
				t.Errorf("the audit says %+v, %v", a, err)
			}

			if again := count(t, s, service.Orders, takenOver) > takeovers; again != at.again {
				t.Errorf("the handler has run again: %v", again)
			}

			if repeated := count(t, s, service.Payments, ended(onlyonce.StatusReplayed)) > 0; at.repeated && !repeated {
				t.Error("the payment was not requested again")
			}

			for name, want := range map[string]int{service.Payments: 1, service.Inventory: 2} {
				if n := count(t, s, name, ended(onlyonce.StatusExecuted)); n != want {
					t.Errorf("%d calls have run in %s, want %d", n, name, want)
				}
			}
		})
	}
}

// place places an order. Its key is the ID of the order. On a slow machine, a service may be silent for longer than the retries last.
func place(t *testing.T, client shopv1.OrderServiceClient, req *shopv1.PlaceRequest) (resp *shopv1.PlaceResponse, err error) {
	t.Helper()

	for range time.Minute / time.Second {
		resp, err = client.Place(t.Context(), req, interceptor.WithKey(req.GetOrderId()))

		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted:
			pause(t.Context(), time.Second)
		default:
			return resp, err
		}
	}

	return resp, err
}

// placeTwice places an order, and places it again after the orders service has lost its database.
func placeTwice(t *testing.T, s *stage, change func(*service.Config)) (first, second *shopv1.PlaceResponse, err error) {
	t.Helper()

	client := shopv1.NewOrderServiceClient(dial(t, s, service.Orders))
	cart := s.demo.orders[0].request()
	req := &shopv1.PlaceRequest{OrderId: cart.GetOrderId(), Customer: cart.GetCustomer(), Lines: cart.GetLines()}

	first, err = place(t, client, req)
	if err != nil {
		t.Fatal(err)
	}

	restartOrders(t, s, func(c *service.Config) {
		files, err := filepath.Glob(c.Database.File + "*")
		if err != nil || len(files) == 0 {
			t.Fatalf("files of the database: %v, %v", files, err)
		}

		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}

		change(c)
	})

	second, err = place(t, client, req)

	return first, second, err
}

// mustHaveHappenedOnce checks the services that the orders service calls.
func mustHaveHappenedOnce(t *testing.T, s *stage) {
	t.Helper()

	if err := s.settle(t.Context()); err != nil {
		t.Error(err)
	}

	if a, err := s.audit(t.Context()); err != nil || a.charges != 1 || a.movements != 2 || a.pieces != 0 {
		t.Errorf("the audit says %+v, %v", a, err)
	}
}

func TestF15ServiceThatHasLostItsRecordsCallsTheOthersWithTheSameKeys(t *testing.T) {
	s := openShop(t, "")

	first, second, err := placeTwice(t, s, func(*service.Config) {})
	if err != nil || first.GetPaymentId() == "" || first.GetPaymentId() != second.GetPaymentId() {
		t.Errorf("the answers are %v and %v, %v", first, second, err)
	}

	if n := count(t, s, service.Payments, ended(onlyonce.StatusReplayed)); n < 1 {
		t.Error("the payment was not asked for again")
	}

	mustHaveHappenedOnce(t, s)
}

func TestF57RunThatSendsAnotherRequestDownstreamGetsKeyReusedFromDownstream(t *testing.T) {
	s := openShop(t, "")

	_, _, err := placeTwice(t, s, func(c *service.Config) { c.CentsPerPiece++ })

	var info *errdetails.ErrorInfo

	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(*errdetails.ErrorInfo); ok {
			info = found
		}
	}

	if status.Code(err) != codes.FailedPrecondition || info.GetDomain() != interceptor.DownstreamDomain ||
		info.GetReason() != string(onlyonce.ReasonKeyReused) {
		t.Errorf("the error is %v with %v, want KEY_REUSED from downstream", err, info)
	}

	// The error is no answer: the first run may have had its effect, and here it had.
	if outcome := onlyonce.VerdictOf(err); outcome != onlyonce.VerdictUnknown {
		t.Errorf("the outcome is %v", outcome)
	}

	mustHaveHappenedOnce(t, s)
}
