package oncegateway

import (
	"context"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/headerkey"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Option changes the result of [Options].
type Option func(*config)

// config has the functions of the options of a mux.
type config struct {
	incoming, outgoing, trailers runtime.HeaderMatcherFunc
	onError                      runtime.ErrorHandlerFunc
	onStreamError                runtime.StreamErrorHandlerFunc
	problems                     bool
}

// WithIncomingHeaderMatcher sets the function that turns request headers into metadata. The default, and nil, is
// runtime.DefaultHeaderMatcher. The function has no effect on Idempotency-Key, Grpc-Metadata-Idempotency-Key and X-Retry-Attempt.
//
//   - Do not use runtime.WithIncomingHeaderMatcher: it replaces the matcher of [Options].
//   - Do not let clients set the metadata of the scope: they could then choose their scope.
func WithIncomingHeaderMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.incoming = match }
}

// WithOutgoingHeaderMatcher sets the function that turns the header metadata of answers into headers. The default, and nil, adds the prefix
// Grpc-Metadata-, as grpc-gateway does. The function does not get metadata of the contract, metadata of gRPC itself, or binary metadata.
func WithOutgoingHeaderMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.outgoing = match }
}

// WithOutgoingTrailerMatcher sets the function that names the trailers of answers. The default, and nil, adds the prefix Grpc-Trailer-, as
// grpc-gateway does. The function does not get trailers of the contract, which become headers, trailers of gRPC itself, or binary trailers.
// A client gets trailers only if it sends "TE: trailers".
func WithOutgoingTrailerMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.trailers = match }
}

// WithErrorHandler sets the function that writes errors. The default, and nil, is runtime.DefaultHTTPErrorHandler. When the function is
// called, the headers of the contract are set. Its error is a gRPC status. In the error, errors.As also finds a *runtime.HTTPStatusError
// with the HTTP status, which for a rejection is the status of the contract.
func WithErrorHandler(write runtime.ErrorHandlerFunc) Option {
	return func(c *config) { c.onError = write }
}

// WithProblems makes the mux answer every error as application/problem+json (RFC 9457). The default is a google.rpc.Status in JSON. It
// overrides [WithErrorHandler]. A problem has these members:
//
//   - of a rejection: type, title, status, detail, reason, and the metadata of the reason, as package oncehttp writes them,
//   - of any other error: title, status, and the message as detail,
//   - of every error: the name of the gRPC code as code, and the details that can be written as JSON, if there are any.
//
// With this option and without it, HTTP clients get the message and the details of the gRPC error. These include the text of an error that
// is not a status, and a google.rpc.DebugInfo.
func WithProblems() Option {
	return func(c *config) { c.problems = true }
}

// Options returns the options that make a mux of grpc-gateway keep the contract. Put them in front of your other options. Otherwise an
// option could write the status of an answer before the headers of the contract are set:
//
//	mux := runtime.NewServeMux(append(oncegateway.Options(), others...)...)
//
// Options sets the header matchers and the error handlers of the mux. Set your own with the options of this package. [Validate] finds
// options that undo this.
//
//   - The header Idempotency-Key becomes the metadata idempotency-key. The key is raw or a string of RFC 8941: abc and "abc" are the same
//     key. A method that reads keys rejects every other value.
//   - Grpc-Metadata-Idempotency-Key, and every header that your matcher maps to idempotency-key, are keys, too. A call with more than one
//     key is rejected.
//   - X-Retry-Attempt is passed on.
//   - The trailers of the contract become the headers Idempotency-Status, Idempotent-Replayed, Idempotency-Executed-At and
//     Idempotency-Retention, on success and on errors.
//   - A rejection gets the HTTP status of the contract. An error with a google.rpc.RetryInfo gets the header Retry-After.
//   - The rejection of a stream has Idempotency-Status, too. Its body is an error as grpc-gateway writes it for streams.
//   - Details of an error are left out if they cannot be written as JSON, because their types are not linked in.
//   - If a recorded answer cannot pass, the client gets an error with the Idempotency-Status unknown. The answer may have been a success.
//     The gateway knows a first answer of this kind by its code: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or INTERNAL.
//     docs/gateways.md lists the causes.
//   - Binary metadata of answers, whose names end with -bin, is left out. HTTP clients cannot read an answer with it.
//   - Errors of the gateway itself have no Idempotency-Status, because no server has seen the request. Examples are invalid JSON and an
//     unknown path.
func Options(opts ...Option) []runtime.ServeMuxOption {
	var c config
	for _, opt := range opts {
		opt(&c)
	}

	c.setDefaults()

	return []runtime.ServeMuxOption{
		runtime.WithIncomingHeaderMatcher(c.matchIncoming),
		runtime.WithMetadata(c.keyOf),
		runtime.WithOutgoingHeaderMatcher(withoutContract(c.outgoing)),
		runtime.WithOutgoingTrailerMatcher(withoutContract(c.trailers)),
		runtime.WithForwardResponseOption(setStatus),
		runtime.WithErrorHandler(c.handleError),
		runtime.WithStreamErrorHandler(c.handleStreamError),
		runtime.WithMiddlewares(keepAnswer),
	}
}

func (c *config) setDefaults() {
	if c.incoming == nil {
		c.incoming = runtime.DefaultHeaderMatcher
	}

	if c.outgoing == nil {
		c.outgoing = func(name string) (string, bool) { return runtime.MetadataHeaderPrefix + name, true }
	}

	if c.trailers == nil {
		c.trailers = func(name string) (string, bool) { return runtime.MetadataTrailerPrefix + name, true }
	}

	if c.onError == nil {
		c.onError = runtime.DefaultHTTPErrorHandler
	}

	if c.onStreamError == nil {
		c.onStreamError = runtime.DefaultStreamErrorHandler
	}

	if c.problems {
		c.onError = c.writeProblem
	}
}

// matchIncoming is the matcher of request headers. It drops keys: keyOf passes them on, in the form of gRPC.
func (c *config) matchIncoming(name string) (string, bool) {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case oncehttp.KeyHeader:
		return "", false
	case oncehttp.AttemptHeader:
		return interceptor.AttemptHeader, true
	}

	if c.isKey(name) {
		return "", false
	}

	return c.incoming(name)
}

// isKey reports whether a header has a key: Idempotency-Key, Grpc-Metadata-Idempotency-Key, or a header that the matcher of the application
// maps to idempotency-key. Without its key, a call would run unprotected.
func (c *config) isKey(name string) bool {
	switch name = textproto.CanonicalMIMEHeaderKey(name); name {
	case oncehttp.KeyHeader, runtime.MetadataHeaderPrefix + oncehttp.KeyHeader:
		return true
	}

	to, ok := c.incoming(name)

	return ok && strings.EqualFold(to, interceptor.KeyHeader)
}

// keysIn returns the values of all headers that have a key.
func (c *config) keysIn(r *http.Request) (values []string) {
	for name, all := range r.Header {
		if c.isKey(name) {
			values = append(values, all...)
		}
	}

	return values
}

// keyOf returns the metadata of the key. It passes on all keys of a request, because the server rejects more than one.
func (c *config) keyOf(_ context.Context, r *http.Request) metadata.MD {
	values := c.keysIn(r)
	if len(values) == 0 {
		return nil
	}

	return metadata.MD{interceptor.KeyHeader: headerkey.Metadata(values)}
}

// withoutContract returns a matcher without the metadata of the contract, the metadata of gRPC itself, and binary metadata. setContract
// sets the headers of the contract. grpc-gateway would write binary metadata as raw bytes, and HTTP clients cannot read such an answer.
func withoutContract(match runtime.HeaderMatcherFunc) runtime.HeaderMatcherFunc {
	return func(name string) (string, bool) {
		switch lower := strings.ToLower(name); lower {
		case interceptor.StatusTrailer, interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer, interceptor.RetentionTrailer:
			return "", false
		default:
			if strings.HasPrefix(lower, "grpc-") || strings.HasSuffix(lower, "-bin") { // also interceptor.PushbackTrailer
				return "", false
			}

			as, ok := match(name)

			return as, ok && !strings.EqualFold(as, "Content-Type") // that of gRPC; an error would have two
		}
	}
}
