// Package recovery contains a server that survives panics. The recovery interceptor is the outermost interceptor.
package recovery

import (
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewServer returns a server. A panic passes through the kit, which records an unknown outcome. The recovery interceptor in front turns it
// into INTERNAL.
//
// Recovery behind the kit would turn the panic into an error before the kit sees it. That error is INTERNAL and also unknown, but a panic
// in an interceptor between the two would end the process.
func NewServer(protect *interceptor.Server) *grpc.Server {
	answer := recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.Internal, "internal error") })

	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(recovery.UnaryServerInterceptor(answer), protect.Unary),
		grpc.ChainStreamInterceptor(recovery.StreamServerInterceptor(answer), protect.Stream),
	)
}
