package oncehttp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// sendThrough sends a request through a Transport.
func sendThrough(t *testing.T, transport *oncehttp.Transport, r *http.Request) oncehttp.Outcome {
	t.Helper()

	resp, err := transport.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}

	return oncehttp.OutcomeOf(resp, err)
}

func TestClientKeepsKeysWithQuotesApart(t *testing.T) {
	t.Parallel()

	w := start(t, setup{}, nil)

	for name, opts := range map[string][]oncehttp.ClientOption{"raw": nil, "quoted": {oncehttp.WithQuotedKeys()}} {
		transport, err := oncehttp.NewTransport(w.client.Transport, opts...)
		if err != nil {
			t.Fatal(err)
		}

		for _, key := range []string{name, `"` + name + `"`, `"` + name, name + `"`, `\` + name, `"\"` + name + `\""`} {
			r := w.request(http.MethodPost, "/payments", "", "100")

			got := sendThrough(t, transport, r.WithContext(onlyonce.ContextWithKey(r.Context(), key)))
			if got.Status != onlyonce.StatusExecuted || got.Key != key {
				t.Errorf("%s: the key %s: %+v, want a run of its own", name, key, got)
			}
		}
	}
}

func TestClientLeavesTheQuotesOfTheCallersHeader(t *testing.T) {
	t.Parallel()

	s := &script{steps: []func(http.ResponseWriter, *http.Request){says(http.StatusOK, onlyonce.StatusExecuted)}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)

	transport, err := oncehttp.NewTransport(server.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}

	for _, value := range []string{`raw`, `"quoted"`, `"\"both\""`} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}

		r.Header.Set(oncehttp.KeyHeader, value)
		sendThrough(t, transport, r)
	}

	if got, want := s.requests(), []string{`raw`, `"quoted"`, `"\"both\""`}; !slices.Equal(got, want) {
		t.Errorf("the server got %s, want %s", got, want)
	}
}
