package onceconnect

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Server is a [connect.Interceptor] for handlers. See [NewServer].
type Server struct{ protect *interceptor.Server }

// NewServer returns an interceptor that protects handlers of connect-go with the options of protect. One protect may serve connect-go and
// grpc-go at the same time. If protect is nil, the first call panics.
//
//   - Put the interceptor behind all interceptors that recover, measure, authenticate, authorize or limit: see [interceptor.NewServer]. The
//     first interceptor of connect.WithInterceptors is the outermost.
//   - In the protocol of Connect, the header Idempotency-Key may be a string of RFC 8941: abc and "abc" are the same key. In the other two
//     protocols quotes are a part of the key, as on grpc-go.
//   - Functions in the options, such as the scope, find the headers of the request in gRPC's incoming metadata.
//   - Wrap the server's http.Handler in [Handler].
func NewServer(protect *interceptor.Server) *Server { return &Server{protect: protect} }

// WrapUnary implements [connect.Interceptor]. A keyed call runs its handler once, and every duplicate is answered from the record: see
// [interceptor.Server.Unary].
func (s *Server) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Spec().IsClient {
			return next(ctx, req)
		}

		return newServerCall(ctx, req, next).serve(ctx, s.protect)
	}
}

// WrapStreamingClient implements [connect.Interceptor]. It changes nothing.
func (s *Server) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// incoming returns the context of a call for package interceptor. It keeps the peer of ctx, if there is one.
func incoming(ctx context.Context, from *peer.Peer, md metadata.MD, stream grpc.ServerTransportStream) context.Context {
	if _, ok := peer.FromContext(ctx); !ok {
		ctx = peer.NewContext(ctx, from)
	}

	return grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(ctx, md), stream)
}
