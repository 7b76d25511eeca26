// Package recovery has a server that survives panics: the recovery interceptor stands in front of all others.
package recovery

import (
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewServer returns a server. A panic passes the kit, which notes that the outcome is unknown, and becomes INTERNAL in front of it.
//
// A recovery behind the kit would turn the panic into an error before the kit sees it. INTERNAL is ambiguous as well, but panics of the
// interceptors between them would end the process.
func NewServer(protect *interceptor.Server) *grpc.Server {
	answer := recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.Internal, "internal error") })

	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(recovery.UnaryServerInterceptor(answer), protect.Unary),
		grpc.ChainStreamInterceptor(recovery.StreamServerInterceptor(answer), protect.Stream),
	)
}
