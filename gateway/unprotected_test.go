package oncegateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
)

// guarded is a till whose method Charge is guarded.
type guarded struct {
	tillv1.TillServiceServer

	charge func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error)
}

func (g guarded) Charge(ctx context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
	return g.charge(ctx, req)
}

// Handlers that RegisterXHandlerServer calls have no interceptor.
func TestHandlersInProcess(t *testing.T) {
	requireRun := func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		if err := onlyonce.RequireRun(ctx); err != nil {
			return nil, err
		}

		return &tillv1.ChargeResponse{Number: 1}, nil
	}

	w := start(t, setup{inProcess: true}, nil)
	strict := &till{handle: requireRun}

	serve := func(server tillv1.TillServiceServer) {
		if err := tillv1.RegisterTillServiceHandlerServer(context.Background(), w.mux, server); err != nil {
			t.Fatal(err)
		}
	}

	// The last registration wins. The world's own is the first.
	w.post(charges, "channel", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post(charges, "channel", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK)
	w.mustHaveRun(1)

	serve(w.till)
	w.post(charges, "bare", payload).mustBe("", http.StatusOK)
	w.post(charges, "bare", payload).mustBe("", http.StatusOK)
	w.mustHaveRun(3) // twice for one key

	serve(strict)
	w.post(charges, "strict", payload).mustBe("", http.StatusInternalServerError)

	serve(guarded{strict, oncegateway.Guard(w.protect.Unary, tillv1.TillService_Charge_FullMethodName, strict.Charge)})

	first := w.post(charges, "guarded", payload).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	w.post(charges, "guarded", payload).mustBe(onlyonce.StatusReplayed, http.StatusOK).mustEqual(first)
	w.post(charges, "", payload).mustBe("", http.StatusInternalServerError) // no key, no run

	if n := strict.runs.Load(); n != 3 {
		t.Errorf("the handler that requires a run was called %d times, want 3: once in a run", n)
	}
}

func TestARefusalOfRequireRunIs500OverAConnection(t *testing.T) {
	for _, format := range []string{"%w", "charging: %w"} {
		w := start(t, setup{}, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
			return nil, fmt.Errorf(format, onlyonce.RequireRun(ctx))
		})

		w.post(charges, "", payload).mustBe("", http.StatusInternalServerError)
	}
}

// An interceptor in front of a guarded method must not make a success of a response that is none.
func TestAGuardedMethodNeverAnswersWithNothing(t *testing.T) {
	for name, wrong := range map[string]any{"nothing": nil, "another message": &tillv1.RefundResponse{}} {
		charge := oncegateway.Guard(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			return wrong, nil
		}, tillv1.TillService_Charge_FullMethodName, (&till{}).Charge)

		if resp, err := charge(t.Context(), &tillv1.ChargeRequest{}); status.Code(err) != codes.Internal {
			t.Errorf("%s: %v, %v; want INTERNAL", name, resp, err)
		}
	}
}

// Under such a name the interceptor would read no keys, or keep the records of another method.
func TestAMethodIsGuardedUnderItsOwnNameOnly(t *testing.T) {
	chain := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return handler(ctx, req)
	}

	for name, guard := range map[string]func(){
		"no service": func() { oncegateway.Guard(chain, "/till.v1.OtherService/Charge", (&till{}).Charge) },
		"no method":  func() { oncegateway.Guard(chain, "/till.v1.TillService/Pay", (&till{}).Charge) },
		"no slash":   func() { oncegateway.Guard(chain, "till.v1.TillService/Charge", (&till{}).Charge) },
		"another":    func() { oncegateway.Guard(chain, tillv1.TillService_Refund_FullMethodName, (&till{}).Charge) },
		"another request": func() {
			oncegateway.Guard(chain, tillv1.TillService_Charge_FullMethodName, answered[tillv1.RefundRequest, tillv1.ChargeResponse])
		},
		"another response": func() {
			oncegateway.Guard(chain, tillv1.TillService_Charge_FullMethodName, answered[tillv1.ChargeRequest, tillv1.RefundResponse])
		},
		"a stream": func() {
			oncegateway.Guard(chain, tillv1.TillService_ListCharges_FullMethodName, answered[tillv1.ListChargesRequest, tillv1.ListChargesResponse])
		},
		"no messages": func() { oncegateway.Guard(chain, tillv1.TillService_Charge_FullMethodName, answered[string, string]) },
		"no chain":    func() { oncegateway.Guard(nil, tillv1.TillService_Charge_FullMethodName, (&till{}).Charge) },
		"no method to guard": func() {
			oncegateway.Guard[tillv1.ChargeRequest, tillv1.ChargeResponse](chain, tillv1.TillService_Charge_FullMethodName, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "oncegateway: Guard") {
					t.Errorf("no panic that says what to do: %q", text)
				}
			}()

			guard()
		})
	}
}

func answered[Req, Resp any](context.Context, *Req) (*Resp, error) { return new(Resp), nil }
