package httprules

import "net/http"

// CanFlush reports whether http.ResponseController can flush a response writer. A wrapper that implements http.Flusher hides a writer that
// cannot.
func CanFlush(w http.ResponseWriter) bool {
	for {
		switch wrapper := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = wrapper.Unwrap()
		default:
			return false
		}
	}
}
