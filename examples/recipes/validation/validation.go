// Package validation contains a server that validates requests with https://github.com/bufbuild/protovalidate.
package validation

import (
	"buf.build/go/protovalidate"
	validate "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/protovalidate"
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewServer returns a server that validates behind the kit. A refusal is INVALID_ARGUMENT, which is final, so it is recorded with its
// details, and duplicates get it. Validation in front of the kit would refuse without an idempotency-status. Clients would then assume a
// server without the kit.
//
// The rules are in the .proto. protovalidate.New makes the validator:
//
//	int64 cents = 2 [(buf.validate.field).int64.gt = 0];
func NewServer(protect *interceptor.Server, validator protovalidate.Validator) *grpc.Server {
	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(protect.Unary, validate.UnaryServerInterceptor(validator)),
		grpc.ChainStreamInterceptor(protect.Stream, validate.StreamServerInterceptor(validator)),
	)
}
