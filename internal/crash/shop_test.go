//go:build unix

package crash

import (
	"context"
	"fmt"
	"net/rpc"
	"os"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// The metadata that the handler sets.
const (
	servedBy  = "served-by" // a header
	receiptOf = "receipt"   // a trailer
)

// shop is the service of a server. Its answers tell which run has given them.
type shop struct {
	pb.UnimplementedTestServiceServer

	world        *rpc.Client
	probe        *probe
	deduplicated bool
}

// payment is a request.
func payment() *pb.SimpleRequest {
	return &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("10 EUR to Ann")}}
}

// declined is a request that is charged for and then answered with an error.
func declined(code codes.Code) *pb.SimpleRequest {
	req := payment()
	req.ResponseStatus = &pb.EchoStatus{Code: int32(code), Message: "declined"}

	return req
}

// poison is a request that kills the process in which it is handled.
func poison() *pb.SimpleRequest {
	return &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("poison")}}
}

// endless is a request whose handler waits until its context ends, without an effect.
func endless() *pb.SimpleRequest {
	return &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("endless")}}
}

// UnaryCall implements [pb.TestServiceServer].
func (s *shop) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	switch string(req.GetPayload().GetBody()) {
	case "poison":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)

		select {}
	case "endless":
		<-ctx.Done()

		end := visit(ctx, atEnd)
		end.Body = []byte(context.Cause(ctx).Error())
		s.probe.reach(end)

		return nil, ctx.Err()
	}

	run, _ := onlyonce.RunFromContext(ctx)

	var receipt string
	if err := s.world.Call("Provider.Pay", Charge{Key: run.Key, Deduplicated: s.deduplicated}, &receipt); err != nil {
		return nil, err
	}

	s.probe.reach(visit(ctx, atCharged))

	if err := grpc.SetHeader(ctx, metadata.Pairs(servedBy, s.probe.server)); err != nil {
		return nil, err
	}

	if err := grpc.SetTrailer(ctx, metadata.Pairs(receiptOf, receipt)); err != nil {
		return nil, err
	}

	answer := fmt.Sprintf("%s, from %s, attempt %d", receipt, s.probe.server, run.Attempt)

	if echo := req.GetResponseStatus(); echo.GetCode() != 0 {
		st, err := status.New(codes.Code(echo.GetCode()), answer).WithDetails(
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "FUNDS", Subject: answer}}})
		if err != nil {
			return nil, err
		}

		return nil, st.Err()
	}

	return &pb.SimpleResponse{Username: answer}, nil
}

// recover asks the provider about the effect of a run. When a run is over, the provider's answer no longer changes.
func (s *shop) recover(_ context.Context, _ proto.Message, rec onlyonce.Record) (onlyonce.Finding, error) {
	var receipts []string
	if err := s.world.Call("Provider.Find", rec.ReadableKey, &receipts); err != nil {
		return onlyonce.StillUnknown(), err
	}

	if len(receipts) == 0 {
		return onlyonce.DidNotHappen(), nil
	}

	return interceptor.FindingOf(&pb.SimpleResponse{Username: recoveredAnswer(receipts[0], s.probe.server)}, nil)
}

func recoveredAnswer(receipt, server string) string { return receipt + ", recovered by " + server }
