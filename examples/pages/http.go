package pages

import (
	"net/http"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// HTTPServer is the server of docs/http.md.
func HTTPServer(
	engine *onlyonce.Engine, caller func(*http.Request) (string, error), mux http.Handler,
	recovery, telemetry, authenticate func(http.Handler) http.Handler,
) (*http.Server, error) {
	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeFunc(caller), // func(*http.Request) (string, error)
		oncehttp.WithRoute("POST /payments", oncehttp.Policy{Key: oncehttp.KeyRequired}))
	if err != nil {
		return nil, err
	}

	server := &http.Server{Handler: recovery(telemetry(authenticate(protect(mux))))}

	return server, nil
}

// Closed is part of a handler in docs/http.md.
func Closed(w http.ResponseWriter, r *http.Request, charged bool) {
	if !charged {
		oncehttp.NotExecuted(r.Context()) // the key is released
		http.Error(w, "the provider is closed", http.StatusServiceUnavailable)
	}
}

// HTTPClient is the client of docs/http.md.
func HTTPClient(route func(*http.Request) string, req *http.Request) (oncehttp.Outcome, error) {
	transport, err := oncehttp.NewTransport(http.DefaultTransport, oncehttp.WithRouteName(route)) // func(*http.Request) string
	if err != nil {
		return oncehttp.Outcome{}, err
	}

	client := &http.Client{Transport: transport}

	resp, err := client.Do(req)
	outcome := oncehttp.OutcomeOf(resp, err) // key, status, reason, verdict

	return outcome, err
}
