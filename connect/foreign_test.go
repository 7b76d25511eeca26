package onceconnect_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	onceconnect "github.com/onlyonce-go/onlyonce/connect"
)

// sets is a middleware that sets a header in every answer.
func sets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", "8")
		next.ServeHTTP(w, r)
	})
}

// A client would take a header of the handler for a trailer. The headers of a middleware in front must not cost the retries.
func TestAnErrorWithAHeaderOfItsHandlerKeepsItsTrailers(t *testing.T) {
	for name, c := range map[string]struct {
		wrap  func(http.Handler) http.Handler
		alone bool // in one block
	}{
		"no header":                      {onceconnect.Handler, true},
		"a header from front":            {func(next http.Handler) http.Handler { return sets(onceconnect.Handler(next)) }, true},
		"a header from behind":           {func(next http.Handler) http.Handler { return onceconnect.Handler(sets(next)) }, false},
		"the same from front and behind": {func(next http.Handler) http.Handler { return sets(onceconnect.Handler(sets(next))) }, true},
	} {
		w := newWorld(t, setup{bare: true, wrap: c.wrap})
		// A call without its key is rejected.
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+payMethod, bytes.NewReader(make([]byte, 5))))(t)
		req.Header.Set("Content-Type", "application/grpc")

		resp := must(httpClient(t, true).Do(req))(t) //nolint:bodyclose // it is closed below
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()

		header, trailer := resp.Header.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Status")
		if (header != "") != c.alone || (trailer != "") == c.alone {
			t.Errorf("%s: the status is in the header %q and in the trailer %q", name, header, trailer)
		}
	}
}
