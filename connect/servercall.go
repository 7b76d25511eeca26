package onceconnect

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
)

// serverCall is one unary call on a server.
type serverCall struct {
	req    connect.AnyRequest
	next   connect.UnaryFunc
	method grpc.UnaryServerInfo
	peer   peer.Peer
	stream transportStream

	passed   bool                // the call is not protected, so the answer of its handler passes unchanged
	response connect.AnyResponse // of a call that has passed
}

func newServerCall(ctx context.Context, req connect.AnyRequest, next connect.UnaryFunc) *serverCall {
	procedure := req.Spec().Procedure
	info, _ := connect.CallInfoForHandlerContext(ctx)

	return &serverCall{
		req: req, next: next,
		method: grpc.UnaryServerInfo{FullMethod: procedure},
		peer:   peerOf(ctx, req.Peer()),
		stream: transportStream{method: procedure, info: info},
	}
}

// serve answers the call as package interceptor decides.
func (c *serverCall) serve(ctx context.Context, protect *interceptor.Server) (connect.AnyResponse, error) {
	defer c.stream.close()

	md := metadataOf(c.req.Header())
	sent := takeKeys(c.req, md)
	in := incoming(ctx, &c.peer, md, &c.stream)
	resp, err := protect.Unary(in, c.req.Any(), &c.method, c.handle)

	switch {
	case c.passed && err != nil:
		return nil, passedError(err)
	case c.passed:
		return c.response, nil
	case err != nil:
		return nil, answeredError(err, sent)
	default:
		return &response{msg: resp}, nil
	}
}

// handle calls the handler for package interceptor, which chooses the context and the message.
func (c *serverCall) handle(ctx context.Context, msg any) (any, error) {
	stream := grpc.ServerTransportStreamFromContext(ctx)
	if stream == grpc.ServerTransportStream(&c.stream) {
		resp, err := c.next(ctx, c.req)
		c.passed, c.response = true, resp

		return messageOf(resp, err), asCoded(err) // shadow mode compares the messages of answers
	}

	run := newRunInfo(ctx)

	resp, err := c.next(run, withMessage(c.req, msg)) //nolint:contextcheck // it wraps ctx

	var header, trailer http.Header

	switch {
	case err != nil:
		trailer = metaOf(err)
	case resp != nil:
		header, trailer = resp.Header(), resp.Trailer()
	}

	// The recorder of the run cannot fail. Nobody sees the error of a stream whose key is ignored.
	_ = stream.SetHeader(metadataOf(run.info.header, header))
	_ = stream.SetTrailer(metadataOf(run.info.trailer, trailer))

	return messageOf(resp, err), asCoded(err)
}

// messageOf returns the message of a handler's response, or nil if there is none.
func messageOf(resp connect.AnyResponse, err error) any {
	if err != nil || resp == nil {
		return nil
	}

	return resp.Any()
}

// metaOf returns the metadata of a handler's error. It is nil for an error from another server, whose metadata connect-go does not send.
func metaOf(err error) http.Header {
	failed, ok := errors.AsType[*connect.Error](err)
	if !ok || failed == nil || connect.IsWireError(err) {
		return nil
	}

	own := *failed // Meta may change its error, and calls may share the error

	return own.Meta()
}

// passedError returns the error of a call that is not protected: the handler's own, unless package interceptor has replaced it.
func passedError(err error) error {
	if handlers, ok := err.(*coded); ok { //nolint:errorlint // what is wrapped is not the answer
		return onlyonce.Unmarked(handlers.err)
	}

	return answeredError(err, nil)
}

// answeredError returns the error of a protected call. Sent are its keys as headers of HTTP.
func answeredError(err error, sent []string) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err // connect-go gives it a code
	}

	st = headerkey.Explain(st, sent)

	return statusError(st, st.Message(), onlyonce.Unmarked(err), false)
}

// withMessage returns the request with another message. A repeated run gets the message as it was received.
func withMessage(req connect.AnyRequest, msg any) connect.AnyRequest {
	if req.Any() == msg {
		return req
	}

	given := reflect.ValueOf(req)
	if given.Kind() != reflect.Pointer || given.IsNil() || given.Elem().Kind() != reflect.Struct {
		return req // not reached: handlers of connect-go take nothing but a *connect.Request
	}

	changed := reflect.New(given.Type().Elem())
	changed.Elem().Set(given.Elem())

	field, message := changed.Elem().FieldByName("Msg"), reflect.ValueOf(msg)
	if !field.IsValid() || !message.Type().AssignableTo(field.Type()) {
		return req
	}

	field.Set(message)

	made, _ := reflect.TypeAssert[connect.AnyRequest](changed)

	return made
}

// response is the response of a protected call. The call's CallInfo has the metadata of the kit.
type response struct {
	connect.AnyResponse // nil; it has the unexported method of the interface

	msg             any
	header, trailer http.Header
}

// Any implements [connect.AnyResponse].
func (r *response) Any() any { return r.msg }

// Header implements [connect.AnyResponse].
func (r *response) Header() http.Header {
	if r.header == nil {
		r.header = make(http.Header)
	}

	return r.header
}

// Trailer implements [connect.AnyResponse].
func (r *response) Trailer() http.Header {
	if r.trailer == nil {
		r.trailer = make(http.Header)
	}

	return r.trailer
}

// transportStream adds the metadata of an answer to the call's CallInfo. connect-go sends it with a response and with an error.
type transportStream struct {
	method string

	mu     sync.Mutex
	info   connect.CallInfo // of the call; nil: the metadata is dropped
	closed bool             // the call is answered
}

// Method implements [grpc.ServerTransportStream].
func (s *transportStream) Method() string { return s.method }

// SetHeader implements [grpc.ServerTransportStream].
func (s *transportStream) SetHeader(md metadata.MD) error {
	s.add(md, connect.CallInfo.ResponseHeader)

	return nil
}

// SendHeader implements [grpc.ServerTransportStream]. connect-go sends the header with the answer.
func (s *transportStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

// SetTrailer implements [grpc.ServerTransportStream].
func (s *transportStream) SetTrailer(md metadata.MD) error {
	s.add(md, connect.CallInfo.ResponseTrailer)

	return nil
}

// add adds metadata to the answer. It drops metadata that comes after the answer: a run continues after its caller has left.
func (s *transportStream) add(md metadata.MD, to func(connect.CallInfo) http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.closed && s.info != nil && len(md) > 0 {
		addTo(to(s.info), md)
	}
}

// close ends the answer. connect-go reads the CallInfo afterwards, without a lock.
func (s *transportStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.closed = true
}
