package onceconnect_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// A client would take the header of a middleware for a trailer.
func TestAnErrorBehindOtherHeadersKeepsItsTrailers(t *testing.T) {
	for front, alone := range map[string]bool{"": true, "X-Front": false} {
		w := newWorld(t, setup{wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if front != "" {
					w.Header().Set(front, "1")
				}

				next.ServeHTTP(w, r)
			})
		}})
		// A call without its key is rejected.
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+payMethod, bytes.NewReader(make([]byte, 5))))(t)
		req.Header.Set("Content-Type", "application/grpc")

		resp := must(httpClient(t, true).Do(req))(t) //nolint:bodyclose // it is closed below
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()

		header, trailer := resp.Header.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Status")
		if (header != "") != alone || (trailer != "") == alone {
			t.Errorf("with the header %q, the status is in the header %q and in the trailer %q", front, header, trailer)
		}
	}
}
