package onceconnect

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Handler wraps the http.Handler of a server, such as a mux with the handlers of all services. It does two things that an interceptor of
// connect-go cannot do:
//
//   - It shows the client certificate to interceptor.ScopeFromPeerURI and interceptor.ScopeFromPeerDNS. Without Handler, they find no
//     caller, and each keyed call is rejected with SCOPE_MISSING.
//   - It sends errors of the gRPC protocol without response headers, where connect-go sends an empty block of headers first. The retries
//     that are built into gRPC end when headers arrive, so without Handler they do not retry rejections such as IN_PROGRESS.
//
// Requests of other protocols pass unchanged. Nil panics when it serves.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			r = r.WithContext(withTLS(r.Context(), r.TLS))
		}

		if r.ProtoMajor < 2 || !isGRPC(r.Header.Get("Content-Type")) {
			next.ServeHTTP(w, r)

			return
		}

		next.ServeHTTP(&trailersOnly{ResponseWriter: w}, r)
	})
}

// isGRPC reports whether a content type is that of the gRPC protocol. That of gRPC-Web begins with application/grpc-web.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")

	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// trailersOnly sends an error as a single block of headers, if the handler has neither written nor set headers of its own.
type trailersOnly struct {
	http.ResponseWriter

	begun bool // something was written
	alone bool // the answer is a single block, which is sent when the handler returns
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
	w.alone = w.alone || !w.begun && movesTrailers(w.Header())
	if w.alone {
		return // a flush would send the headers without the end of the stream
	}

	w.begun = true

	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Unwrap lets [http.ResponseController] find the writer.
func (w *trailersOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// movesTrailers makes the trailers of an error headers, and reports whether it has. It does not if there are other headers than those of
// the protocol: a client must not take them for trailers.
func movesTrailers(header http.Header) bool {
	const status = http.TrailerPrefix + "Grpc-Status"

	if code := header.Get(status); code == "" || code == "0" {
		return false
	}

	names := slices.Collect(maps.Keys(header))
	if slices.ContainsFunc(names, isForeign) {
		return false
	}

	for _, name := range names {
		if trailer, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			header[trailer] = header[name]
			delete(header, name)
		}
	}

	return true
}

// isForeign reports whether a header is neither a trailer nor one of the protocol.
func isForeign(name string) bool {
	return !strings.HasPrefix(name, http.TrailerPrefix) && !strings.HasPrefix(name, "Grpc-") && name != "Content-Type"
}
