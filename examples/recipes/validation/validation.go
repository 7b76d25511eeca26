// Package validation has a server that validates requests, such as with https://github.com/bufbuild/protovalidate-go.
package validation

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewServer returns a server. Validation stands behind the kit: in front of it, a refusal has no idempotency-status, and clients take the
// server for one without the kit. A refusal is recorded, so its duplicates get it as well.
//
// With protovalidate, validate is
//
//	func(m proto.Message) error { return protovalidate.Validate(m) }
func NewServer(protect *interceptor.Server, validate func(proto.Message) error) *grpc.Server {
	check := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if message, ok := req.(proto.Message); ok {
			if err := validate(message); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
		}

		return handler(ctx, req)
	}

	return grpc.NewServer(grpc.ChainUnaryInterceptor(protect.Unary, check), grpc.ChainStreamInterceptor(protect.Stream))
}
