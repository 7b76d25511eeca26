package httprules

import "net/http"

// CanFlush reports whether http.ResponseController can flush a response writer. A wrapper that implements http.Flusher hides a writer that
// cannot.
func CanFlush(w http.ResponseWriter) bool {
	return can[http.Flusher](w) || can[interface{ FlushError() error }](w)
}

// CanHijack reports whether http.ResponseController can hijack the connection of a response writer.
func CanHijack(w http.ResponseWriter) bool { return can[http.Hijacker](w) }

// can reports whether a writer, or a writer in it, has the methods.
func can[Methods any](w http.ResponseWriter) bool {
	for {
		if _, ok := w.(Methods); ok {
			return true
		}

		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}

		w = outer.Unwrap()
	}
}
