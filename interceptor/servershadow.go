package interceptor

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/onlyonce-go/onlyonce"
)

// shadow serves a call in shadow mode. The handler gets the context of the caller, and its answer is not changed.
func (s *Server) shadow(ctx context.Context, req any, m *method, handler grpc.UnaryHandler) (resp any, err error) {
	c := serverCall{server: s, method: m, req: req, caller: ctx, shadow: true}
	observed := c.observe(ctx)
	out := onlyonce.PanickedOutcome()

	defer func() { observed.End(out) }()

	resp, err = handler(ctx, req)
	out = c.shadowOutcome(resp, err)

	return resp, err // the handler's own
}

// observe begins to observe a call in shadow mode. Its failures do not reach the call.
func (c *serverCall) observe(ctx context.Context) *onlyonce.Shadow {
	refused := withoutPanic(func() error { return c.identify(ctx) })

	return c.server.engine.Shadow(ctx, &c.call, refused)
}

// identify reads the identity of the call, and returns the reason why real mode would refuse it, or nil. A call that needs no key and has
// none gets no identity.
func (c *serverCall) identify(ctx context.Context) error {
	keys := metadata.ValueFromIncomingContext(ctx, KeyHeader)

	c.call.Method = c.method.name
	c.call.Key, _ = singleValue(keys)

	inField, set, ok := c.method.keyField.in(c.req)
	if c.call.Key == "" {
		c.call.Key = inField
	}

	switch {
	case c.method.broken != nil:
		return &misconfigured{c.method.broken}
	case len(keys) == 0 && !set && ok && c.method.key != KeyRequired:
		return nil
	}

	return c.takeIdentity(ctx, keys)
}

// shadowOutcome returns the outcome that real mode would record for an answer, without its metadata.
func (c *serverCall) shadowOutcome(resp any, err error) (out onlyonce.Outcome) {
	about := serverCall{server: c.server, method: c.method, shadow: true, resp: resp, err: err, recorder: new(recorder)}

	problem := withoutPanic(func() error {
		switch {
		case err != nil:
			out = about.failure()
		case c.method.output == nil:
			out = onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: okName}
		default:
			out = about.success()
		}

		return nil
	})
	if problem != nil {
		return onlyonce.Outcome{Class: onlyonce.ClassAmbiguous, Code: codeName(statusOf(problem).Code()), Err: problem}
	}

	return out
}

// encodeShadow encodes a status, or else a response. Equal answers have equal bytes.
func encodeShadow(room int, st *spb.Status, resp proto.Message) ([]byte, error) {
	msg, field := resp, fieldResponse
	if st != nil {
		msg, field = st, fieldStatus
	}

	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("interceptor: encoding a %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}

	buf := make([]byte, room, room+protowire.SizeTag(field)+protowire.SizeBytes(len(body)))
	buf = protowire.AppendTag(buf, field, protowire.BytesType)

	return protowire.AppendBytes(buf, body), nil
}

// shadowStream runs a stream in shadow mode, and reports a stream that real mode would refuse.
func (s *Server) shadowStream(srv any, stream grpc.ServerStream, m *method, handler grpc.StreamHandler) error {
	ctx := stream.Context()
	keys := metadata.ValueFromIncomingContext(ctx, KeyHeader)
	call := onlyonce.Call{Method: m.name}
	call.Key, _ = singleValue(keys)

	var refused error
	if len(keys) > 0 || m.key == KeyRequired {
		refused = notSupported("this method is a stream, and streams cannot be protected by an idempotency key", nil)
	}

	observed, out := s.engine.Shadow(ctx, &call, refused), onlyonce.PanickedOutcome()

	defer func() { observed.End(out) }()

	err := handler(srv, stream)

	c := serverCall{server: s, method: m, shadow: true}
	if err == nil {
		out = onlyonce.Outcome{Class: onlyonce.ClassDefinite, Code: okName}
	} else {
		out = c.shadowOutcome(nil, err)
	}

	return err // the handler's own
}

// ShadowMethods returns the full names of the registered methods that are in shadow mode, sorted: see onlyonce.ShadowOn. None of their
// calls is protected.
func (s *Server) ShadowMethods(server ServiceInfoProvider) []string {
	var names []string

	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			name := "/" + service + "/" + method.Name
			if s.method(name).inShadow() {
				names = append(names, name)
			}
		}
	}

	slices.Sort(names)

	return names
}

// inShadow reports whether the calls of a method are observed and not protected.
func (m *method) inShadow() bool {
	return m.policy.Shadow == onlyonce.ShadowOn && m.key != KeyIgnored
}

// reportShadow reports to the engine's observer the methods that are in shadow mode.
func (s *Server) reportShadow(server ServiceInfoProvider) {
	for _, name := range s.ShadowMethods(server) {
		s.engine.ReportShadowMode(context.Background(), name)
	}
}
