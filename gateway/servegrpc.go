package oncegateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// ServeGRPC returns a handler of net/http for a *grpc.Server that keeps gRPC's native retries working:
//
//	server := &http.Server{Handler: oncegateway.ServeGRPC(grpcServer), Protocols: protocols} // with HTTP/2, encrypted or not
//
// The handler sends an error without header metadata as trailers only, as grpc.Server.Serve does. All other answers pass unchanged. Headers
// that a middleware has set do not count as metadata.
//
// The ServeHTTP of a *grpc.Server sends a header before the trailers of every error. A client does not retry by a service config after it
// has received a header, so a rejection such as IDEMPOTENCY_IN_PROGRESS ends the call. The client interceptor of this kit retries with
// either handler.
func ServeGRPC(server http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !httprules.CanFlush(w) {
			server.ServeHTTP(w, r) // refuses a writer that cannot flush; trailersOnly would hide it

			return
		}

		t := &trailersOnly{ResponseWriter: w, before: w.Header().Clone()}
		server.ServeHTTP(t, r)
		t.end()
	})
}

// trailersOnly is a response writer that holds back the header of an answer until it knows whether there is a body. The server of gRPC
// flushes an answer without a body exactly once, before it sets the trailers, and without WriteHeader: see writeStatus in
// handler_server.go of grpc-go. If grpc-go changes this, the writer passes everything on.
type trailersOnly struct {
	http.ResponseWriter

	before http.Header // the headers that a middleware has set

	began bool // the header is sent
	held  bool // the header is held back, and sent with the trailers
}

// Unwrap is for http.ResponseController.
func (t *trailersOnly) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (t *trailersOnly) WriteHeader(status int) {
	t.began = true
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *trailersOnly) Write(p []byte) (int, error) {
	t.began = true

	return t.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, which the server of gRPC requires.
func (t *trailersOnly) Flush() {
	if !t.began && isPlain(t.Header(), t.before) {
		t.held = true

		return
	}

	t.began = true
	_ = http.NewResponseController(t.ResponseWriter).Flush()
}

// end sends a header that was held back, with the trailers in it.
func (t *trailersOnly) end() {
	if !t.held || t.began {
		return
	}

	h := t.Header()
	h.Del("Trailer")

	for name, values := range h {
		if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			delete(h, name)
			h[http.CanonicalHeaderKey(trailer)] = values
		}
	}

	t.WriteHeader(http.StatusOK)
}

// isPlain reports whether a header has only the headers that the server of gRPC sets in every answer, and those of before.
func isPlain(h, before http.Header) bool {
	for name, values := range h {
		switch name {
		case "Date", "Content-Type", "Trailer", "Grpc-Encoding":
		default:
			if !slices.Equal(values, before[name]) {
				return false
			}
		}
	}

	return true
}
