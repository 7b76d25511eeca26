package oncegateway

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Guard returns handle with an interceptor in front of it. Use Guard for single methods of an implementation that
// RegisterXHandlerServer calls:
//
//	type guarded struct {
//		paymentsv1.PaymentServiceServer // the implementation
//		pay func(context.Context, *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error)
//	}
//
//	func (g guarded) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) { return g.pay(ctx, req) }
//
//	guarded{payments, oncegateway.Guard(protect.Unary, paymentsv1.PaymentService_Pay_FullMethodName, payments.Pay)}
//
// Register the guarded implementation with the mux only. A gRPC server has the interceptor already, and a call that passes the interceptor
// twice is rejected. [InProcess] does the same without code for each method.
func Guard[Req, Resp any](
	chain grpc.UnaryServerInterceptor, fullMethod string, handle func(ctx context.Context, req *Req) (*Resp, error),
) func(ctx context.Context, req *Req) (*Resp, error) {
	info := &grpc.UnaryServerInfo{FullMethod: fullMethod}

	return func(ctx context.Context, req *Req) (*Resp, error) {
		resp, err := chain(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			typed, ok := req.(*Req)
			if !ok {
				return nil, status.Errorf(codes.Internal, "oncegateway: an interceptor has made a %T of the request of %s", req, fullMethod)
			}

			return handle(ctx, typed)
		})
		if err != nil {
			return nil, err
		}

		typed, ok := resp.(*Resp)
		if !ok {
			return nil, status.Errorf(codes.Internal, "oncegateway: an interceptor has made a %T of the response of %s", resp, fullMethod)
		}

		return typed, nil
	}
}
