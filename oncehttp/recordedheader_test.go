package oncehttp_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Without them, a browser could run a script in the replay that it did not run in the first answer.
func TestHeadersThatBindTheBrowserAreReplayed(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Security-Policy", "default-src 'none'")
		http.Error(rw, "<script>", http.StatusUnprocessableEntity) // sets X-Content-Type-Options
	})

	_, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
	if h := again.header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "default-src 'none'" {
		t.Errorf("the replay has %v", h)
	}
}

// Handlers write ETag into the map itself to keep its case.
func TestHeadersAreRecordedInAnyCase(t *testing.T) {
	w := start(t, setup{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header()["ETag"] = []string{`"v1"`}
		rw.Header()["LOCATION"] = []string{"/payments/1"}
	})

	_, again := both(w, func() *http.Request { return w.request(http.MethodPost, "/", "k", "") })
	if h := again.header; h.Get("ETag") != `"v1"` || h.Get("Location") != "/payments/1" {
		t.Errorf("the replay has %v", h)
	}

	found := oncehttp.FindingOf(oncehttp.Answer{Header: http.Header{"ETag": {`"v1"`}}})
	if reflect.DeepEqual(found, oncehttp.FindingOf(oncehttp.Answer{})) {
		t.Error("the finding of a recovery function has no header")
	}
}
