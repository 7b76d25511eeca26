package oncegateway

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
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
//
// Guard panics if chain or handle is nil, or if fullMethod is not the full name of a unary method with these messages: calls would run
// unprotected, or under the name of another method.
func Guard[Req, Resp any](
	chain grpc.UnaryServerInterceptor, fullMethod string, handle func(ctx context.Context, req *Req) (*Resp, error),
) func(ctx context.Context, req *Req) (*Resp, error) {
	if chain == nil || handle == nil {
		panic("oncegateway: Guard needs an interceptor and a method: give it the Unary of an interceptor.Server, and a method of the service")
	}

	if err := checkGuarded(fullMethod, new(Req), new(Resp)); err != nil {
		panic(err.Error())
	}

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

// checkGuarded checks the name of a method by the messages that its handler takes and returns.
func checkGuarded(fullMethod string, req, resp any) error {
	service, name, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	found, _ := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))

	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok || !strings.HasPrefix(fullMethod, "/") {
		return fmt.Errorf("oncegateway: Guard knows no method %q: take the constant of the generated code, such as "+
			"PaymentService_Pay_FullMethodName", fullMethod)
	}

	input, output := asProto(req), asProto(resp)
	if input == nil || output == nil || method.IsStreamingClient() || method.IsStreamingServer() ||
		input.ProtoReflect().Descriptor().FullName() != method.Input().FullName() ||
		output.ProtoReflect().Descriptor().FullName() != method.Output().FullName() {
		return fmt.Errorf("oncegateway: Guard got a method from %T to %T, and %s is another method: take the name of the method that you give",
			req, resp, fullMethod)
	}

	return nil
}
