package oncegateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// WithStreamErrorHandler sets the function that turns the error of a stream into a gRPC status. The default, and nil, is
// runtime.DefaultStreamErrorHandler. When the function is called, the headers of the contract are set. Do not use
// runtime.WithStreamErrorHandler: it replaces the handler of [Options].
func WithStreamErrorHandler(handle runtime.StreamErrorHandlerFunc) Option {
	return func(c *config) { c.onStreamError = handle }
}

type answerKey struct{}

// withAnswer returns a context in which handleStreamError finds the header of the answer.
func withAnswer(ctx context.Context, w http.ResponseWriter) context.Context {
	return context.WithValue(ctx, answerKey{}, w)
}

// keepAnswer is a middleware that calls withAnswer: grpc-gateway does not pass the answer on to the handler of stream errors.
func keepAnswer(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, pathParams map[string]string) {
		next(w, r.WithContext(withAnswer(r.Context(), w)), pathParams)
	}
}

// handleStreamError sets the headers of the contract in the rejection of a stream. It makes them itself, because grpc-gateway does not read
// the trailers of streams. A handler of a server without the kit may pass on any other rejection, which then confirms nothing. The headers
// have no effect if a part of the stream is sent already.
func (c *config) handleStreamError(ctx context.Context, err error) *status.Status {
	st, _ := statusOf(err)

	if w, ok := ctx.Value(answerKey{}).(http.ResponseWriter); ok {
		if reasonOf(st) == onlyonce.ReasonNotSupported { // the only reason why the kit rejects a stream
			w.Header().Set(oncehttp.StatusHeader, string(onlyonce.StatusRejected))
		}

		if delay := retryDelayOf(st); delay > 0 {
			w.Header().Set("Retry-After", httprules.Seconds(delay))
		}
	}

	return c.onStreamError(ctx, err)
}
