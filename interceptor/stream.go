package interceptor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
)

// Stream is a grpc.StreamServerInterceptor. Streams are never protected. A stream that needs protection is refused with
// IDEMPOTENCY_NOT_SUPPORTED, and nothing runs:
//   - a stream with a key, in its metadata or in the request field that is marked as the key,
//   - a stream of a method that requires a key,
//   - a stream of several requests with a field that is marked as the key: a key could arrive after the handler has begun.
//
// All other streams pass. All streams of methods with KeyIgnored pass, and so do all streams of methods in shadow mode.
func (s *Server) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	m := s.known.get(info.FullMethod)
	if m.inShadow() {
		return s.shadowStream(srv, stream, m, handler)
	}

	keys := metadata.ValueFromIncomingContext(stream.Context(), KeyHeader)

	switch {
	case m.key == KeyIgnored && len(keys) > 0:
		return outwardOf(handler(srv, newSilentServerStream(stream)))
	case m.key == KeyIgnored:
		return outwardOf(handler(srv, stream))
	case m.key == KeyRequired:
		return s.refuseStream(stream, m, keys, &misconfigured{errStream(m.name, "requires a key")})
	case m.keyField != nil && info.IsClientStream:
		return s.refuseStream(stream, m, keys, &misconfigured{errStreamField(m.name, m.keyField.fullName())})
	case len(keys) > 0:
		return s.refuseStream(stream, m, keys, nil)
	case m.keyField != nil:
		watched := &keyWatchedStream{ServerStream: stream, field: m.keyField}

		err := handler(srv, watched)
		if watched.keyed {
			return s.refuseStream(stream, m, nil, nil)
		}

		return outwardOf(err)
	default:
		return outwardOf(handler(srv, stream))
	}
}

// refuseStream refuses a stream and reports it to the engine's observer. Cause is the misconfiguration of the server, or nil.
func (s *Server) refuseStream(stream grpc.ServerStream, m *method, keys []string, cause error) error {
	rejection := notSupported("this method is a stream, and streams cannot be protected by an idempotency key; call it without a key", cause)
	if cause != nil {
		rejection = notSupported("this method requires an idempotency key and is a stream, which cannot be protected; "+
			"the operators of the server must change the method", cause)
	}

	key, _ := singleValue(keys)

	s.engine.Refused(stream.Context(), onlyonce.Identity{Method: m.name, Key: key}, rejection)
	stream.SetTrailer(m.kept.withStatus(onlyonce.StatusRejected, 0))

	return rejectionStatus(rejection, "").Err()
}

// notSupported rejects a call that cannot be protected. The cause is for operators.
func notSupported(message string, cause error) *onlyonce.Rejection {
	return &onlyonce.Rejection{Reason: onlyonce.ReasonNotSupported, Message: message + "; nothing was executed", Cause: cause}
}

// errUnrecordable rejects a keyed call with a message that this package cannot record.
func errUnrecordable(m *method, msg any) error {
	cause := m.unrecordable
	if cause == nil {
		cause = fmt.Errorf("interceptor: %s is called with a message of type %T, and only protobuf messages can be recorded: "+
			"generate its code with protoc-gen-go 1.20 or newer, or set KeyIgnored in WithMethodPolicy", m.name, msg)
	}

	return notSupported("this method cannot be called with an idempotency key, because its messages cannot be recorded; "+
		"the operators of the server must change the method", &misconfigured{cause})
}

// judgeStream reports a stream whose policy demands a key. The streams of such a method are refused.
func (c *serverConfig) judgeStream(name string, declared *annotations) error {
	chosen := c.chosen(name).Key
	if chosen == KeyIgnored || declared.reads && !declared.required {
		return nil
	}

	key := c.chosen(name).over(declared.policy).Key
	_, picked := c.methods[name]

	errs := declared.optionProblems

	switch {
	case chosen == KeyInherit && declared.policy.Key == KeyIgnored:
	case key == KeyRequired:
		errs = append(errs, errStream(name, "requires a key"))
	case picked || declared.ownOption:
		errs = append(errs, errStream(name, "has a policy of its own"))
	case declared.marked != "":
		errs = append(errs, errStreamField(name, string(declared.marked)))
	}

	return errors.Join(errs...)
}

func errStream(name, what string) error {
	return fmt.Errorf("interceptor: %s %s and is a stream, which is never protected: set KEY_USE_IGNORED in its .proto, or KeyIgnored "+
		"in WithMethodPolicy, which also overrides WithServicePolicy and WithPolicy", name, what)
}

func errStreamField(name, field string) error {
	return errStream(name, fmt.Sprintf("has a request with field %s, which is marked as the key or as part of the scope,", field))
}

// partOfGRPC reports whether a method belongs to a service that comes with gRPC. WithPolicy does not protect such methods.
func partOfGRPC(fullMethod string) bool {
	for _, prefix := range []string{"/grpc.health.", "/grpc.reflection.", "/grpc.channelz."} {
		if strings.HasPrefix(fullMethod, prefix) {
			return true
		}
	}

	return false
}

// outwardOf returns the error of a handler as it leaves the server, or nil.
func outwardOf(err error) error {
	if err == nil {
		return nil
	}

	return outward(err)
}

// keyWatchedStream is a stream with a single request. Generated code receives the request before it calls the handler. A request with a key
// is refused.
type keyWatchedStream struct {
	grpc.ServerStream

	field *requestField
	keyed bool
}

// RecvMsg implements [grpc.ServerStream].
func (s *keyWatchedStream) RecvMsg(msg any) error {
	if err := s.ServerStream.RecvMsg(msg); err != nil {
		return err // the stream's own error
	}

	if _, set, ok := s.field.in(msg); set || !ok {
		s.keyed = true

		return onlyonce.ReasonNotSupported
	}

	return nil
}

// silentServerStream is a stream whose key is ignored: its handler cannot set the metadata of the contract.
type silentServerStream struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // the stream lives as long as this context
}

func newSilentServerStream(stream grpc.ServerStream) *silentServerStream {
	return &silentServerStream{ServerStream: stream, ctx: silent(stream.Context())}
}

// Context implements [grpc.ServerStream].
func (s *silentServerStream) Context() context.Context { return s.ctx }

// SetHeader implements [grpc.ServerStream].
func (s *silentServerStream) SetHeader(md metadata.MD) error {
	return s.ServerStream.SetHeader(withoutContract(md)) // the stream's own error
}

// SendHeader implements [grpc.ServerStream].
func (s *silentServerStream) SendHeader(md metadata.MD) error {
	return s.ServerStream.SendHeader(withoutContract(md)) // the stream's own error
}

// SetTrailer implements [grpc.ServerStream].
func (s *silentServerStream) SetTrailer(md metadata.MD) {
	s.ServerStream.SetTrailer(withoutContract(md))
}
