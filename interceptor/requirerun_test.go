package interceptor_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
)

func TestAHandlerThatRequiresARunRefusesCallsWithoutAKey(t *testing.T) {
	w := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		return &pb.SimpleResponse{}, onlyonce.RequireRun(ctx)
	})
	client := pb.NewTestServiceClient(w.conn)

	if _, err := client.UnaryCall(t.Context(), &pb.SimpleRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("without a key: %v, want FAILED_PRECONDITION", err)
	}

	if _, err := client.UnaryCall(appendMetadata(t.Context(), "idempotency-key", "order-1"), &pb.SimpleRequest{}); err != nil {
		t.Errorf("with a key: %v", err)
	}
}
