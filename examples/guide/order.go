package guide

import (
	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// NewServerWithInterceptors returns a server with other interceptors.
func NewServerWithInterceptors(
	protect *interceptor.Server,
	recovery, telemetry, authenticate, authorize, limit, timeout, validate grpc.UnaryServerInterceptor,
	recoverStream, authenticateStream grpc.StreamServerInterceptor,
) *grpc.Server {
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(recovery, telemetry, authenticate, authorize, limit, timeout, protect.Unary, validate),
		grpc.ChainStreamInterceptor(recoverStream, authenticateStream, protect.Stream),
	)

	return server
}
