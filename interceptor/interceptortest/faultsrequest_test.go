package interceptortest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
)

// transfers is a service whose requests carry their key in a field. It refuses requests without the field.
type transfers struct {
	bankv1.UnimplementedBankServiceServer

	mu   sync.Mutex
	keys map[string]bool
}

func (s *transfers) Transfer(_ context.Context, req *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
	if req.GetRequestId() == "" {
		return nil, status.Error(codes.InvalidArgument, "request_id is empty")
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.keys[req.GetRequestId()] = true

	return new(bankv1.TransferResponse), nil
}

func (s *transfers) effects() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.keys)
}

func (s *transfers) subject(req *bankv1.TransferRequest) interceptortest.Subject {
	return interceptortest.Subject{
		NewServer: func(around interceptortest.Around) (*grpc.Server, error) {
			engine, err := onlyonce.New(around.Store, onlyonce.WithObserver(nil))
			if err != nil {
				return nil, err
			}

			protect, err := interceptor.NewServer(engine, interceptor.ScopeShared())
			if err != nil {
				return nil, err
			}

			server := grpc.NewServer(grpc.ChainUnaryInterceptor(around.First, protect.Unary, around.Last))
			bankv1.RegisterBankServiceServer(server, s)

			return server, nil
		},
		Method: bankv1.BankService_Transfer_FullMethodName, Request: req, Response: new(bankv1.TransferResponse),
		Effects: s.effects, Codes: []codes.Code{codes.Internal},
	}
}

func TestFaultsFillsTheKeyField(t *testing.T) {
	service := &transfers{keys: map[string]bool{}}
	req := &bankv1.TransferRequest{RequestId: "11111111-1111-4111-8111-111111111111", Tenant: "acme", Branch: []byte{1}}

	for _, row := range interceptortest.Faults(t, service.subject(req)) {
		if row.Ran != 1 || row.Effects != 1 {
			t.Errorf("%s: %d runs, %d effects; want one each", row.Fault, row.Ran, row.Effects)
		}
	}

	if got := req.GetRequestId(); got != "11111111-1111-4111-8111-111111111111" {
		t.Errorf("the request of the test has another key now: %s", got)
	}
}

// refusedChild is set in the process whose test must fail.
const refusedChild = "INTERCEPTORTEST_REFUSED"

func TestFaultsFailsIfTheRequestIsRefused(t *testing.T) {
	if os.Getenv(refusedChild) != "" {
		interceptortest.Faults(t, (&transfers{keys: map[string]bool{}}).subject(&bankv1.TransferRequest{Tenant: "acme", Branch: []byte{1}}))

		return
	}

	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), refusedChild+"=1")

	out, err := child.CombinedOutput()
	if err == nil {
		t.Error("the test with a request that the server refuses passes")
	}

	if want := "without a fault the call got INVALID_ARGUMENT executed, so its faults show nothing"; !strings.Contains(string(out), want) {
		t.Errorf("%s\nwant a line with %q", out, want)
	}
}
