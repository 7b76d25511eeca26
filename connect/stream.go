package onceconnect

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// WrapStreamingHandler implements [connect.Interceptor]. Streams are never protected. A stream that needs protection is refused with
// IDEMPOTENCY_NOT_SUPPORTED, and nothing runs: see [interceptor.Server.Stream].
func (s *Server) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		spec := conn.Spec()
		info := &grpc.StreamServerInfo{
			FullMethod:     spec.Procedure,
			IsClientStream: spec.StreamType&connect.StreamTypeClient != 0,
			IsServerStream: spec.StreamType&connect.StreamTypeServer != 0,
		}

		md, from := metadataOf(conn.RequestHeader()), peerOf(ctx, conn.Peer())
		stream := &serverStream{
			conn: conn, ctx: incoming(ctx, &from, md, &transportStream{method: spec.Procedure}),
		}

		handler := func(_ any, given grpc.ServerStream) error {
			watched := &streamConn{StreamingHandlerConn: conn, stream: given, silent: len(md[interceptor.KeyHeader]) > 0}

			err := next(ctx, watched)
			watched.silence(conn.ResponseTrailer())

			return asCoded(err)
		}

		if err := s.protect.Stream(nil, stream, info, handler); err != nil { //nolint:contextcheck // the context is that of stream
			return passedError(err)
		}

		return nil
	}
}

// serverStream is a stream of connect-go for package interceptor.
type serverStream struct {
	conn connect.StreamingHandlerConn
	ctx  context.Context //nolint:containedctx // the stream lives as long as this context
}

// Context implements [grpc.ServerStream].
func (s *serverStream) Context() context.Context { return s.ctx }

// SetHeader implements [grpc.ServerStream].
func (s *serverStream) SetHeader(md metadata.MD) error {
	addTo(s.conn.ResponseHeader(), md)

	return nil
}

// SendHeader implements [grpc.ServerStream]. connect-go sends the header with the first message.
func (s *serverStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

// SetTrailer implements [grpc.ServerStream].
func (s *serverStream) SetTrailer(md metadata.MD) { addTo(s.conn.ResponseTrailer(), md) }

// SendMsg implements [grpc.ServerStream].
func (s *serverStream) SendMsg(msg any) error { return s.conn.Send(msg) }

// RecvMsg implements [grpc.ServerStream].
func (s *serverStream) RecvMsg(msg any) error { return s.conn.Receive(msg) }

// streamConn is the stream of a handler. Package interceptor reads the requests that arrive on it.
type streamConn struct {
	connect.StreamingHandlerConn

	stream grpc.ServerStream
	silent bool // the key of the stream is ignored, so the handler cannot set metadata of the contract
}

// Receive implements [connect.StreamingHandlerConn].
func (c *streamConn) Receive(msg any) error { return c.stream.RecvMsg(msg) }

// Send implements [connect.StreamingHandlerConn].
func (c *streamConn) Send(msg any) error {
	c.silence(c.ResponseHeader())

	return c.StreamingHandlerConn.Send(msg)
}

// silence removes the metadata of the contract from a stream whose key is ignored. A handler may pass on the metadata of another service.
func (c *streamConn) silence(header http.Header) {
	if !c.silent {
		return
	}

	for _, name := range []string{
		interceptor.StatusTrailer, interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer, interceptor.RetentionTrailer,
	} {
		header.Del(name)
	}
}
