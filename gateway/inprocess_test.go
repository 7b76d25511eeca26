package oncegateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	oncegateway "github.com/onlyonce-go/onlyonce/gateway"
	tillv1 "github.com/onlyonce-go/onlyonce/gateway/internal/testproto/till/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// local returns a channel to a till.
func local(
	t *testing.T, handle func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error), outer ...grpc.UnaryServerInterceptor,
) (*oncegateway.InProcess, tillv1.TillServiceClient) {
	t.Helper()

	protect, err := interceptor.NewServer(newEngine(t, nil), interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	channel := oncegateway.NewInProcess(protect, outer...)
	tillv1.RegisterTillServiceServer(channel, &till{handle: handle})

	return channel, tillv1.NewTillServiceClient(channel)
}

type contextKey struct{}

func TestAHandlerInProcessSeesACallAsOnAServer(t *testing.T) {
	var order []string

	mark := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			order = append(order, name+" "+info.FullMethod)

			return handler(ctx, req)
		}
	}

	var kept *tillv1.ChargeRequest

	answer := &tillv1.ChargeResponse{Number: 1}
	_, client := local(t, func(ctx context.Context, req *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		kept = req

		if in, _ := metadata.FromIncomingContext(ctx); strings.Join(in.Get("x-caller"), ",") != "ann" {
			t.Errorf("the incoming metadata are %v", in)
		}

		// A call that the handler makes must not send the metadata, and the key, of this call.
		if out, _ := metadata.FromOutgoingContext(ctx); len(out) > 0 {
			t.Errorf("the outgoing metadata are %v, want none", out)
		}

		if p, ok := peer.FromContext(ctx); !ok || p.Addr.String() != "in-process" {
			t.Errorf("the peer is %v", p)
		}

		if method, _ := grpc.Method(ctx); method != tillv1.TillService_Charge_FullMethodName || ctx.Value(contextKey{}) != "value" {
			t.Errorf("the method is %q, the value %v", method, ctx.Value(contextKey{}))
		}

		err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("h", "1")), grpc.SendHeader(ctx, metadata.Pairs("h", "2")),
			grpc.SetTrailer(ctx, metadata.Pairs("t", "3")))
		if err != nil {
			t.Error(err)
		}

		if grpc.SetHeader(ctx, metadata.Pairs("h", "4")) == nil {
			t.Error("a header can be set after it was sent")
		}

		return answer, nil
	}, mark("first"), mark("second"), mark("third"))

	var (
		header, trailer metadata.MD
		at              peer.Peer
	)

	ctx := context.WithValue(metadata.AppendToOutgoingContext(t.Context(), "x-caller", "ann"), contextKey{}, "value")
	req := &tillv1.ChargeRequest{Customer: "ann"}

	resp, err := client.Charge(ctx, req, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&at))
	if err != nil || strings.Join(header.Get("h"), ",") != "1,2" || strings.Join(trailer.Get("t"), ",") != "3" ||
		at.Addr.String() != "in-process" {
		t.Errorf("%v, header %v, trailer %v, peer %v", err, header, trailer, at)
	}

	if req.Customer = "bob"; kept.GetCustomer() != "ann" {
		t.Error("the handler's request changes with the caller's")
	}

	if answer.Number = 2; resp.GetNumber() != 1 {
		t.Error("the caller's response changes with the handler's")
	}

	method := " " + tillv1.TillService_Charge_FullMethodName
	if want := []string{"first" + method, "second" + method, "third" + method}; strings.Join(order, ",") != strings.Join(want, ",") {
		t.Errorf("the interceptors ran as %q", order)
	}
}

// Without the kit, every retry would run the handler again.
func TestACallInProcessCannotGoWithoutTheKit(t *testing.T) {
	runs := 0
	_, client := local(t, func(ctx context.Context, _ *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) {
		runs++

		return &tillv1.ChargeResponse{}, onlyonce.RequireRun(ctx)
	})

	ctx := metadata.AppendToOutgoingContext(t.Context(), interceptor.KeyHeader, "order-1")

	for range 2 {
		if _, err := client.Charge(ctx, &tillv1.ChargeRequest{}); err != nil {
			t.Error(err)
		}
	}

	if runs != 1 {
		t.Errorf("the handler ran %d times, want 1", runs)
	}

	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "interceptor.NewServer") {
			t.Errorf("no panic that says what to do: %q", text)
		}
	}()

	oncegateway.NewInProcess(nil)
}

func TestErrorsInProcessAreStatuses(t *testing.T) {
	var failure error

	channel, client := local(t, func(context.Context, *tillv1.ChargeRequest) (*tillv1.ChargeResponse, error) { return nil, failure })

	for _, test := range []struct {
		err  error
		code codes.Code
	}{
		{errors.New("broken"), codes.Unknown},
		{status.Error(codes.NotFound, "none"), codes.NotFound},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
	} {
		failure = test.err

		if _, err := client.Charge(t.Context(), &tillv1.ChargeRequest{}); status.Code(err) != test.code {
			t.Errorf("%v becomes %v, want %v", test.err, err, test.code)
		}
	}

	over, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := client.Charge(over, &tillv1.ChargeRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("a call that is over: %v", err)
	}

	for _, method := range []string{"/till.v1.TillService/Nothing", "/other.v1.Other/Charge", "nothing"} {
		err := channel.Invoke(t.Context(), method, &tillv1.ChargeRequest{}, &tillv1.ChargeResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}

	if _, err := client.ListCharges(t.Context(), &tillv1.ListChargesRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a stream: %v", err)
	}
}

func TestAServiceIsRegisteredOnceWithItsImplementation(t *testing.T) {
	for name, register := range map[string]func(channel *oncegateway.InProcess){
		"twice":              func(channel *oncegateway.InProcess) { tillv1.RegisterTillServiceServer(channel, &till{}) },
		"not implementation": func(channel *oncegateway.InProcess) { channel.RegisterService(&tillv1.TillService_ServiceDesc, "till") },
	} {
		t.Run(name, func(t *testing.T) {
			channel, _ := local(t, nil)

			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()

			register(channel)
		})
	}
}
