package interceptor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
)

const (
	bankService  = "bank.v1.BankService"
	transferCall = bankv1.BankService_Transfer_FullMethodName
	depositCall  = bankv1.BankService_Deposit_FullMethodName
	auditCall    = bankv1.BankService_Audit_FullMethodName
	balanceCall  = bankv1.BankService_Balance_FullMethodName
)

// branchBank is a service with the options of its .proto alone. Without a handler, it answers with the number of the run.
type branchBank struct {
	bankv1.UnimplementedBankServiceServer

	runs     atomic.Int64
	transfer func(ctx context.Context, req *bankv1.TransferRequest) (*bankv1.TransferResponse, error)
	deposit  func(ctx context.Context, req *bankv1.DepositRequest) (*bankv1.DepositResponse, error)
	keys     []string // in the metadata of transfers
}

func (b *branchBank) Transfer(ctx context.Context, req *bankv1.TransferRequest) (*bankv1.TransferResponse, error) {
	run := b.runs.Add(1)
	b.keys = metadata.ValueFromIncomingContext(ctx, "idempotency-key")

	if b.transfer != nil {
		return b.transfer(ctx, req)
	}

	return &bankv1.TransferResponse{Receipt: fmt.Sprintf("transfer %d", run)}, nil
}

func (b *branchBank) Deposit(ctx context.Context, req *bankv1.DepositRequest) (*bankv1.DepositResponse, error) {
	run := b.runs.Add(1)
	if b.deposit != nil {
		return b.deposit(ctx, req)
	}

	return &bankv1.DepositResponse{Receipt: fmt.Sprintf("deposit %d", run)}, nil
}

func (b *branchBank) Audit(context.Context, *bankv1.AuditRequest) (*bankv1.AuditResponse, error) {
	b.runs.Add(1)

	return &bankv1.AuditResponse{}, nil
}

func (b *branchBank) Balance(context.Context, *bankv1.BalanceRequest) (*bankv1.BalanceResponse, error) {
	return &bankv1.BalanceResponse{Amount: b.runs.Add(1)}, nil
}

func (b *branchBank) mustHaveRun(t *testing.T, times int64) {
	t.Helper()

	if n := b.runs.Load(); n != times {
		t.Errorf("the handlers ran %d times, want %d", n, times)
	}
}

// startBank starts a server of the bank, which has no client interceptor in front of its connection.
func startBank(t *testing.T, s setup, b *branchBank) *world {
	t.Helper()

	s.register = func(server *grpc.Server) { bankv1.RegisterBankServiceServer(server, b) }

	return start(t, s, nil)
}

func transferOf(key, tenant string) *bankv1.TransferRequest {
	return &bankv1.TransferRequest{RequestId: key, Tenant: tenant, Branch: []byte("main"), Amount: 10}
}

// invoke makes a call of any message types, and returns the answer without its response.
func invoke[T any, R interface {
	*T
	proto.Message
}](ctx context.Context, conn grpc.ClientConnInterface, method string, req proto.Message, opts ...grpc.CallOption) (R, answer) {
	var (
		frame atomic.Bool
		a     answer
		resp  R = new(T)
	)

	ctx = context.WithValue(ctx, headerFramesKey{}, &frame)

	a.err = conn.Invoke(ctx, method, req, resp, append(opts, grpc.Header(&a.header), grpc.Trailer(&a.trailer))...)
	a.headerFrame = frame.Load()

	return resp, a
}

func transfer(ctx context.Context, conn grpc.ClientConnInterface, req *bankv1.TransferRequest, opts ...grpc.CallOption) (string, answer) {
	resp, a := invoke[bankv1.TransferResponse](ctx, conn, transferCall, req, opts...)

	return resp.GetReceipt(), a
}

func deposit(ctx context.Context, conn grpc.ClientConnInterface, opts ...grpc.CallOption) (string, answer) {
	resp, a := invoke[bankv1.DepositResponse](ctx, conn, depositCall, &bankv1.DepositRequest{Amount: 10}, opts...)

	return resp.GetReceipt(), a
}
