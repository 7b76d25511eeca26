package onceconnect

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// Handler wraps the http.Handler of a server, such as a mux with the handlers of all services. It does two things that an interceptor of
// connect-go cannot do:
//
//   - It shows the client certificate to interceptor.ScopeFromPeerURI and interceptor.ScopeFromPeerDNS. Without Handler, they find no
//     caller, and each keyed call is rejected with SCOPE_MISSING.
//   - It sends errors of the gRPC protocol over HTTP/2 as trailers only. connect-go sends an empty block of headers first. gRPC's native
//     retries end when headers arrive, so without Handler they do not retry rejections such as IN_PROGRESS.
//
// All other answers pass unchanged. Headers that a middleware in front has set do not count as headers of an error. If next is nil, the
// first request panics.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			r = r.WithContext(withTLS(r.Context(), r.TLS))
		}

		// connect-go refuses the streams of a writer that cannot flush. The wrapper would hide it.
		if r.ProtoMajor < 2 || !isGRPC(r.Header.Get("Content-Type")) || !httprules.CanFlush(w) {
			next.ServeHTTP(w, r)

			return
		}

		own := &trailersOnly{ResponseWriter: w}
		if before := w.Header(); len(before) > 0 {
			own.before = before.Clone()
		}

		next.ServeHTTP(own, r)
	})
}

// isGRPC reports whether a content type belongs to the gRPC protocol. Content types of gRPC-Web begin with application/grpc-web.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")

	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// trailersOnly sends an error as a single block of headers if the handler has written nothing and set no headers.
type trailersOnly struct {
	http.ResponseWriter

	before http.Header // that a middleware in front has set; nil: none

	begun bool // the headers are sent
	alone bool // the answer is a single block; it is sent when the handler returns
}

// WriteHeader implements [http.ResponseWriter].
func (w *trailersOnly) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *trailersOnly) Write(data []byte) (int, error) {
	w.begun = true

	return w.ResponseWriter.Write(data) // the writer's own error
}

// Flush implements [http.Flusher]. connect-go flushes at the end of a call, when the trailers are set.
func (w *trailersOnly) Flush() {
	w.alone = w.alone || !w.begun && movesTrailers(w.Header(), w.before)
	if w.alone {
		return // a flush would send the headers without the end of the stream
	}

	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // it fails only if the client has gone
}

// Unwrap lets [http.ResponseController] find the writer.
func (w *trailersOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// movesTrailers turns the trailers of an error into headers, and reports whether it did. It does not change an answer with headers of a
// handler, because a client would read these headers as trailers. Before are the headers of a middleware in front.
func movesTrailers(header, before http.Header) bool {
	const status = http.TrailerPrefix + "Grpc-Status"

	if code := header.Get(status); code == "" || code == "0" {
		return false
	}

	for name, values := range header {
		if isForeign(name) && !slices.Equal(values, before[name]) {
			return false
		}
	}

	for _, name := range slices.Collect(maps.Keys(header)) {
		if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			header[trailer] = header[name]
			delete(header, name)
		}
	}

	return true
}

// isForeign reports whether a header is neither a trailer nor a header of the protocol.
func isForeign(name string) bool {
	return !strings.HasPrefix(name, http.TrailerPrefix) && !strings.HasPrefix(name, "Grpc-") && name != "Content-Type"
}
