package oncegateway

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Option changes Options.
type Option func(*config)

// config is what the options of a mux are made of.
type config struct {
	incoming, outgoing, trailers runtime.HeaderMatcherFunc
	onError                      runtime.ErrorHandlerFunc
	onStreamError                runtime.StreamErrorHandlerFunc
	problems                     bool
}

// WithIncomingHeaderMatcher sets the matcher for all headers of requests but those of the contract. The default, and nil, is
// runtime.DefaultHeaderMatcher. Use it in place of runtime.WithIncomingHeaderMatcher, which would replace the matcher of Options.
//
// A matcher that lets clients choose the metadata of the scope lets them choose the scope.
func WithIncomingHeaderMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.incoming = match }
}

// WithOutgoingHeaderMatcher sets the matcher for all header metadata of answers but that of the contract. The default, and nil, adds the
// prefix Grpc-Metadata-, as grpc-gateway does.
func WithOutgoingHeaderMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.outgoing = match }
}

// WithOutgoingTrailerMatcher sets the matcher for all trailers of answers but those of the contract, which become headers. The default, and
// nil, adds the prefix Grpc-Trailer-, as grpc-gateway does. A client gets trailers only if it sends "TE: trailers".
func WithOutgoingTrailerMatcher(match runtime.HeaderMatcherFunc) Option {
	return func(c *config) { c.trailers = match }
}

// WithErrorHandler sets what writes errors. The default, and nil, is runtime.DefaultHTTPErrorHandler. The headers of the contract are set
// before the handler is called. In place of a rejection it gets an error that is a gRPC status, and also a *runtime.HTTPStatusError with
// the status of the contract: errors.As finds it.
func WithErrorHandler(write runtime.ErrorHandlerFunc) Option {
	return func(c *config) { c.onError = write }
}

// WithProblems makes the mux answer every error as application/problem+json (RFC 9457), and not as a google.rpc.Status in JSON:
//   - a rejection has type, title, status, detail, reason, and the metadata of the reason, as package oncehttp writes it,
//   - any other error has title, status, and detail, which is the message,
//   - all have code, which is the name of the gRPC code, and details, if there are any that can be written as JSON.
//
// Details and messages are those of the gRPC error, so what a handler returns reaches HTTP clients: the text of an error that is not a
// status, and a google.rpc.DebugInfo, too. It is the same without this option.
//
// It overrides WithErrorHandler.
func WithProblems() Option {
	return func(c *config) { c.problems = true }
}

// Options returns the options that make a mux of grpc-gateway keep the contract. Put them first, so that no option in front of them
// writes the status of an answer before its headers are set:
//
//	mux := runtime.NewServeMux(append(oncegateway.Options(), others...)...)
//
// Options sets the header matchers and the error handlers of the mux, so set yours by the options of this package. [Validate] finds
// options that undo these.
//
//   - The header Idempotency-Key becomes the metadata idempotency-key, raw or as a string of RFC 8941: abc and "abc" are the same key. A
//     method that reads keys rejects every other value. Grpc-Metadata-Idempotency-Key is a key, too. So is every header that your matcher
//     maps to this metadata. A call with more than one key is rejected. X-Retry-Attempt is passed on.
//   - The trailers of the contract become the headers Idempotency-Status, Idempotent-Replayed, Idempotency-Executed-At and
//     Idempotency-Retention, on success and on errors.
//   - A rejection gets the HTTP status of the contract. An error with a google.rpc.RetryInfo gets the header Retry-After.
//   - The rejection of a stream has Idempotency-Status, too. Its body is an error as grpc-gateway writes it for streams.
//   - An error with details that this program cannot write as JSON, because their types are not linked, is answered without them.
//   - If the gateway cannot read or write a recorded answer, the client gets an error with the status unknown. The answer may have been
//     a success.
//   - Binary metadata of answers, whose names end with -bin, are left out, because HTTP clients cannot read an answer with them.
//
// Errors of the gateway itself, such as JSON that it cannot read or a path that it does not know, have no Idempotency-Status: no server
// has seen the request.
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

// matchIncoming leaves the key to keyOf, which can change its value.
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

// isKey reports whether a header has a key: Idempotency-Key, Grpc-Metadata-Idempotency-Key, and every header that the matcher of the
// application maps to the metadata of keys. If one of these were lost, the call would run unprotected.
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

// keyOf returns the metadata of the key. It passes on as many keys as there are, because the server rejects more than one.
func (c *config) keyOf(_ context.Context, r *http.Request) metadata.MD {
	values := c.keysIn(r)
	if len(values) == 0 {
		return nil
	}

	keys := make([]string, len(values))

	for i, value := range values {
		key, err := parseKey(value)
		if err != nil {
			key = refused + strconv.QuoteToASCII(value)
		}

		keys[i] = key
	}

	return metadata.MD{interceptor.KeyHeader: keys}
}

// refused stands before a key that cannot be passed on. A key with spaces is never valid.
const refused = "not a valid key: "

// parseKey returns the key in a header. gRPC cannot send other characters than these.
func parseKey(value string) (string, error) {
	key, err := httprules.ParseKey(value)
	if err != nil {
		return "", err
	}

	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", fmt.Errorf("invalid idempotency key: byte 0x%02x at position %d; use printable ASCII without spaces", key[i], i+1)
		}
	}

	return key, nil
}

// withoutContract leaves out the metadata that setContract makes headers of, that of gRPC itself, and binary metadata: grpc-gateway writes
// their bytes as they are, and HTTP clients cannot read an answer with them.
func withoutContract(match runtime.HeaderMatcherFunc) runtime.HeaderMatcherFunc {
	return func(name string) (string, bool) {
		switch lower := strings.ToLower(name); lower {
		case interceptor.StatusTrailer, interceptor.ReplayedHeader, interceptor.ExecutedAtTrailer, interceptor.RetentionTrailer:
			return "", false
		default:
			if strings.HasPrefix(lower, "grpc-") || strings.HasSuffix(lower, "-bin") { // also interceptor.PushbackTrailer
				return "", false
			}

			return match(name)
		}
	}
}
