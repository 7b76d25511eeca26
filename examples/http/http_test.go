package http_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	example "github.com/onlyonce-go/onlyonce/examples/http"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	gin.DefaultErrorWriter = io.Discard

	goleak.VerifyTestMain(m)
}

func TestEveryRouterChargesOnce(t *testing.T) {
	for name, serve := range map[string]func(func(http.Handler) http.Handler, *example.Charges) http.Handler{
		"chi": example.Chi, "gin": example.Gin, "echo": example.Echo,
	} {
		t.Run(name, func(t *testing.T) {
			engine, err := onlyonce.New(memstore.New())
			if err != nil {
				t.Fatal(err)
			}

			protect, err := example.Middleware(engine)
			if err != nil {
				t.Fatal(err)
			}

			var charges example.Charges

			server := httptest.NewServer(serve(protect, &charges))
			defer server.Close()

			post := func(path, key string) (*http.Response, string) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(`{"amount":100}`))
				if err != nil {
					t.Fatal(err)
				}

				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Tenant", "shop")

				if key != "" {
					r.Header.Set(oncehttp.KeyHeader, key)
				}

				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()

				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Error(err)
				}

				return resp, string(body)
			}

			first, want := post("/payments/4711", "k") //nolint:bodyclose // post has closed it
			if first.StatusCode != http.StatusCreated || first.Header.Get(oncehttp.StatusHeader) != "executed" {
				t.Errorf("%s %v %s", first.Status, first.Header, want)
			}

			again, got := post("/payments/4711", "k") //nolint:bodyclose // post has closed it
			if again.StatusCode != http.StatusCreated || again.Header.Get(oncehttp.StatusHeader) != "replayed" || got != want ||
				again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
				t.Errorf("%s %v %s, want %s", again.Status, again.Header, got, want)
			}

			if other, _ := post("/payments/4712", "k"); other.StatusCode != http.StatusUnprocessableEntity { //nolint:bodyclose // post has closed it
				t.Errorf("another order with the key: %s", other.Status)
			}

			if missing, _ := post("/payments/4711", ""); missing.StatusCode != http.StatusBadRequest { //nolint:bodyclose // post has closed it
				t.Errorf("no key: %s", missing.Status)
			}

			declined, reason := post("/payments/"+example.Declined, "other") //nolint:bodyclose // post has closed it
			if declined.StatusCode != http.StatusPaymentRequired || declined.Header.Get(oncehttp.StatusHeader) != "executed" {
				t.Errorf("the error of a handler: %s %v %s", declined.Status, declined.Header, reason)
			}

			repeated, same := post("/payments/"+example.Declined, "other") //nolint:bodyclose // post has closed it
			if repeated.StatusCode != http.StatusPaymentRequired || repeated.Header.Get(oncehttp.StatusHeader) != "replayed" || same != reason {
				t.Errorf("the error of a handler again: %s %v %s, want %s", repeated.Status, repeated.Header, same, reason)
			}

			broken, _ := post("/payments/"+example.Broken, "panic") //nolint:bodyclose // post has closed it
			if broken.StatusCode != http.StatusInternalServerError || broken.Header.Get(oncehttp.StatusHeader) != "unknown" {
				t.Errorf("a handler that panics: %s %v", broken.Status, broken.Header)
			}

			for _, path := range []string{"/payments/4711/", "/payments%2F4711", "//payments/4711"} {
				if missing, _ := post(path, ""); missing.StatusCode != http.StatusBadRequest { //nolint:bodyclose // post has closed it
					t.Errorf("no key at %s: %s", path, missing.Status)
				}
			}

			if n := charges.Made(); n != 1 {
				t.Errorf("charged %d times", n)
			}
		})
	}
}
