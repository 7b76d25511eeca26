package onceconnect

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
)

// isContract reports whether package interceptor reads and writes a header of requests, and returns its name in gRPC's metadata.
func isContract(header string) (name string, ok bool) {
	switch {
	case strings.EqualFold(header, interceptor.KeyHeader):
		return interceptor.KeyHeader, true
	case strings.EqualFold(header, interceptor.AttemptHeader):
		return interceptor.AttemptHeader, true
	default:
		return "", false
	}
}

// contractMetadata returns the headers of a request that package interceptor reads; nil if there are none.
func contractMetadata(header http.Header) (md metadata.MD) {
	for key, values := range header {
		if name, ok := isContract(key); ok && len(values) > 0 {
			if md == nil {
				md = make(metadata.MD)
			}

			md.Append(name, values...)
		}
	}

	return md
}

// clientCall is one logical call on a client.
type clientCall struct {
	req      connect.AnyRequest
	next     connect.UnaryFunc
	caller   context.Context //nolint:containedctx // it lives as long as the call
	callers  metadata.MD     // the outgoing metadata of caller; nil: none
	sent     []string        // the caller's keys as headers of HTTP
	options  [3]grpc.CallOption
	response connect.AnyResponse
	last     error // of the last attempt, as connect-go returned it; nil: none
}

// outgoing returns the context in which package interceptor finds the key and the number of the attempt: in the outgoing metadata.
func (c *clientCall) outgoing(ctx context.Context) context.Context {
	own := contractMetadata(c.req.Header())
	c.sent = takeKeys(c.req, own)

	callers, ok := metadata.FromOutgoingContext(ctx)
	if c.callers = callers; own == nil && !ok {
		return ctx
	}

	return metadata.NewOutgoingContext(ctx, own)
}

// invoke is a grpc.UnaryInvoker that makes one attempt.
func (c *clientCall) invoke(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	results := callResults(opts)

	md, _ := metadata.FromOutgoingContext(ctx)
	if len(md[interceptor.KeyHeader]) == 0 {
		return c.pass(ctx, results)
	}

	made := &attempt{AnyRequest: c.req, to: peer.Peer{Addr: address(c.req.Peer().Addr)}}

	// Credentials decide whether the attempt may be sent to this server.
	if err := results.permit(ctx, &made.to); err != nil {
		c.last = nil
		results.finish(err)

		return err
	}

	made.header = attemptHeader(c.req, md)

	resp, err := c.next(made.context(metadata.NewOutgoingContext(ctx, c.callers)), made)
	err = asLost(ctx, withResponse(resp, err))
	c.response, c.last = resp, err

	if err != nil {
		c.response = nil
	}

	if err == nil || connect.IsWireError(err) || made.mayBeSent() {
		results.sent(&made.to)
	}

	switch {
	case err == nil:
		results.answered(metadataOf(resp.Header()), metadataOf(resp.Trailer()))
	case connect.IsWireError(err):
		results.answered(metadataOfError(err))
	}

	err = asCoded(err)
	results.finish(err)

	return err
}

// pass makes a call without a key: package interceptor does not protect its method.
func (c *clientCall) pass(ctx context.Context, results callResults) (err error) {
	if err := results.permit(ctx, nil); err != nil {
		return err
	}

	c.response, err = c.next(c.caller, c.req) //nolint:contextcheck // it has the outgoing metadata of the caller

	return err
}

var errNoResponse = errors.New("onceconnect: an interceptor behind the Client has returned neither a response nor an error")

// withResponse returns the error of an attempt. An attempt without a response always has one.
func withResponse(resp connect.AnyResponse, err error) error {
	if resp == nil && err == nil {
		return connect.NewError(connect.CodeInternal, errNoResponse)
	}

	return err
}

// asLost changes the error of an answer that a broken connection has cut off to UNAVAILABLE, which is the code of grpc-go. In connect-go,
// the code is CANCELLED after a reset, as if the caller had left: see isClientDisconnected in its error.go. In the middle of a message, the
// code is UNKNOWN or INTERNAL.
func asLost(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*connect.Error](err)
	if !ok || failed == nil || connect.IsWireError(err) || ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return err
	}

	switch failed.Code() { //nolint:exhaustive // connect-go has the others for other errors
	case connect.CodeCanceled, connect.CodeUnknown, connect.CodeInternal:
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return connect.NewError(connect.CodeUnavailable, failed.Unwrap())
		}
	}

	return err
}

// metaOfAnswer returns the metadata of an error that a server has sent: headers and trailers together.
func metaOfAnswer(err error) http.Header {
	failed, _ := errors.AsType[*connect.Error](err)

	return failed.Meta()
}

// metadataOfError returns the metadata of an error that a server has sent. The metadata counts as trailers, because connect-go does not
// separate headers from trailers. If ReplayedHeader has two values, the server has replayed a response and could not send it.
func metadataOfError(err error) (header, trailer metadata.MD) {
	trailer = metadataOf(metaOfAnswer(err))
	if values := trailer[interceptor.ReplayedHeader]; len(values) > 1 {
		header = metadata.MD{interceptor.ReplayedHeader: values[:1]}
	}

	return header, trailer
}

// failure returns the error for the caller.
func (c *clientCall) failure(err error) error {
	if own, ok := err.(*coded); ok { //nolint:errorlint // what is wrapped is not the answer
		return own.err // a call without a key
	}

	st, ok := status.FromError(err)
	if !ok {
		return err // of an interceptor behind this one, for a call without a key
	}

	st = headerkey.Explain(st, c.sent)
	message := st.Message()

	if plain := st.Err(); plain != nil { // package interceptor may have added a note to the text of the status
		if note, ok := strings.CutPrefix(err.Error(), plain.Error()); ok {
			message += note
		}
	}

	received := c.last != nil && connect.IsWireError(c.last)
	failed := statusError(st, message, err, received)

	if received {
		maps.Copy(failed.Meta(), metaOfAnswer(c.last))
	}

	return failed
}

// attemptHeader returns the headers of an attempt: the headers of the request, and the key and the number of the attempt from the metadata.
//
// The name of the key is in lower case, and not in net/http's canonical form. With the canonical name, net/http would send the request
// again by itself, to any server, after a connection has broken: see http.Transport.
func attemptHeader(req connect.AnyRequest, md metadata.MD) http.Header {
	header := req.Header().Clone()
	if header == nil {
		header = make(http.Header)
	}

	maps.DeleteFunc(header, func(key string, _ []string) bool {
		_, ok := isContract(key)

		return ok
	})

	if keys := md[interceptor.KeyHeader]; len(keys) > 0 {
		header[interceptor.KeyHeader] = keyHeader(req, keys)
	}

	if numbers := md[interceptor.AttemptHeader]; len(numbers) > 0 {
		header[interceptor.AttemptHeader] = numbers
	}

	return header
}

// attempt is a request with its own headers. The transport may still read the headers of an earlier attempt.
type attempt struct {
	connect.AnyRequest
	delivery

	header http.Header
	to     peer.Peer
	ctx    attemptContext
}

// context returns the context in which connect-go makes the attempt. Ctx has the outgoing metadata of the caller, because the key does not
// belong to calls that interceptors behind make by gRPC.
func (a *attempt) context(ctx context.Context) context.Context {
	a.ctx = attemptContext{ctx, a}

	return a.watch(&a.ctx)
}

// attemptContext is the context of an attempt.
type attemptContext struct {
	context.Context //nolint:containedctx // it is one

	of *attempt
}

// Value implements [context.Context].
func (c *attemptContext) Value(key any) any {
	if key == (attemptKey{}) {
		return c.of
	}

	return c.Context.Value(key)
}

// Header implements [connect.AnyRequest].
func (a *attempt) Header() http.Header { return a.header }

type attemptKey struct{}

// within reports whether a request is an attempt of a call that another Client makes.
func within(ctx context.Context, req connect.AnyRequest) bool {
	made, ok := ctx.Value(attemptKey{}).(*attempt)

	return ok && req == connect.AnyRequest(made)
}

// delivery shows whether an attempt may have reached a server.
type delivery struct {
	asked     atomic.Bool // the HTTP client has looked for a connection
	connected atomic.Bool // the HTTP client has found a connection
	refused   atomic.Bool // HTTPClient has kept the request back
	trace     httptrace.ClientTrace
}

// watch returns a context through which net/http reports connections to d.
func (d *delivery) watch(ctx context.Context) context.Context {
	d.trace.GetConn = func(string) { d.asked.Store(true) }
	d.trace.GotConn = func(httptrace.GotConnInfo) { d.connected.Store(true) }

	return httptrace.WithClientTrace(ctx, &d.trace)
}

// mayBeSent reports whether a server may have got the request. An HTTP client that reports nothing may have sent it.
func (d *delivery) mayBeSent() bool {
	return !d.refused.Load() && (d.connected.Load() || !d.asked.Load())
}
