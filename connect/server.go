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

// NewServer returns the interceptor that protects the handlers of connect-go as protect protects those of grpc-go. The same protect may
// serve both at the same time.
//
//   - Put it behind all interceptors that recover, measure, authenticate, authorize or limit, as on grpc-go: see [interceptor.NewServer].
//     The first interceptor of connect.WithInterceptors is the outermost.
//   - Functions of protect's options, such as the scope, find the headers of the request in gRPC's incoming metadata.
//   - Wrap the server's http.Handler in [Handler].
func NewServer(protect *interceptor.Server) *Server { return &Server{protect: protect} }

// WrapUnary implements [connect.Interceptor]. A keyed call runs its handler once, and every duplicate is answered from the record.
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

// incoming returns the context of a call as package interceptor reads it. It keeps a peer that the context has.
func incoming(ctx context.Context, from *peer.Peer, md metadata.MD, stream grpc.ServerTransportStream) context.Context {
	if _, ok := peer.FromContext(ctx); !ok {
		ctx = peer.NewContext(ctx, from)
	}

	return grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(ctx, md), stream)
}
