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

// A key that the Transport does not see would be replaced by a fresh one, and the caller's own retry would be another request.
func TestClientTakesTheCallersHeaderInAnyCase(t *testing.T) {
	for name, body := range map[string]string{"with a body": "body", "without a body": ""} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
				if keys := r.Header.Values(oncehttp.KeyHeader); !slices.Equal(keys, []string{"k"}) {
					t.Errorf("the server got the keys %q", keys)
				}

				says(200, onlyonce.StatusExecuted)(rw, r)
			})

			r := w.request(http.MethodPost, "/", "", body)
			r.Header["idempotency-key"] = []string{"k"}

			resp, err := w.through().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if len(r.Header) != 1 {
				t.Errorf("the request of the caller has %v", r.Header)
			}
		})
	}
}
