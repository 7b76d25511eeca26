//go:build unix

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// failOnce serves POST requests under keys. The first run of a key ends with 500, so its outcome is unknown.
func failOnce(t *testing.T, address string) http.Handler {
	t.Helper()

	protect, err := oncehttp.Middleware(engineOn(t, address), oncehttp.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	return protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
}

// post sends a request with a key.
func post(handler http.Handler, key string) *httptest.ResponseRecorder {
	request, answer := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader("{}")), httptest.NewRecorder()
	request.Header.Set(oncehttp.KeyHeader, key)
	handler.ServeHTTP(answer, request)

	return answer
}

// An answer in another form would make every duplicate fail with 500.
func TestRecordOfAnHTTPRequestIsSettledWithAWholeAnswer(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	handler := failOnce(t, address)

	for key, text := range map[string]string{
		"curl":   "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{\"id\":\"17\"}\n\n",
		"http2":  "HTTP/2 201 \r\ncontent-type: application/json\r\n\r\n{\"id\":\"17\"}\n\n",
		"editor": "HTTP/1.1 201 Created\nContent-Type: application/json\nContent-Length: 99\n\n{\"id\":\"17\"}\n\n",
		"blanks": "HTTP/1.1 201 Created\nContent-Type: application/json\n\n{\"id\":\"17\"}\n\n",
	} {
		post(handler, key)

		file := filepath.Join(t.TempDir(), "answer.txt")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		settle := func(answer ...string) printed {
			args := []string{"resolve", "--key", key, "--method", "POST", "--scope", "shared", "--happened", "--reason", "seen", "--yes"}

			return command(t, address, slices.Concat(args, answer)...)
		}
		settle("--error", "ERROR", "--message", "no").mustEnd(t, statusUsage).mustSay(t, "--raw @FILE", "curl -i")
		settle("--raw", "@"+file).mustEnd(t, statusOK).mustSay(t, "is completed")

		got := post(handler, key)
		if got.Code != http.StatusCreated || got.Body.String() != "{\"id\":\"17\"}\n\n" ||
			got.Header().Get("Content-Type") != "application/json" || got.Header().Get("Idempotency-Status") != "replayed" {
			t.Errorf("%s: a duplicate gets %d, %v, %q", key, got.Code, got.Header(), got.Body)
		}
	}
}

func TestShowPrintsTheRequestAndTheAnswerOfHTTP(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	keep := oncehttp.Policy{Policy: onlyonce.Policy{KeepRequest: 1000}}

	protect, err := oncehttp.Middleware(engineOn(t, address), oncehttp.ScopeShared(), oncehttp.WithPolicy(keep))
	if err != nil {
		t.Fatal(err)
	}

	handler := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(oncehttp.KeyHeader) == "fails" {
			w.WriteHeader(http.StatusInternalServerError)

			return
		}

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":"17"}`))
	}))

	show := func(key string, flags ...string) printed {
		return command(t, address, append([]string{"show", "--key", key, "--method", "POST", "--scope", "shared"}, flags...)...).
			mustEnd(t, statusOK)
	}

	post(handler, "fails")
	show("fails").mustNotSay(t, "/payments", "example.com")
	show("fails", "--payload").mustSay(t, "POST /payments\nHost: example.com\n{}")
	show("fails", "--payload", "--json").mustSay(t, `"line": "POST /payments"`)

	post(handler, "works")
	show("works", "--payload").mustSay(t, "Answer 201\nContent-Type: application/json\n{\n  \"id\": \"17\"\n}")
}

// Somebody may give methods of Engine.Do such names.
func TestShowPrintsARecordWithAnHTTPMethodThatIsNotOfHTTP(t *testing.T) {
	t.Parallel()

	address := sqliteURL(t)
	call := onlyonce.Call{Scope: "shared", Method: "POST", Key: "k"}

	_, err := engineOn(t, address).Do(t.Context(), call, func(context.Context) ([]byte, error) { return []byte("paid"), nil })
	if err != nil {
		t.Fatal(err)
	}

	command(t, address, "show", "--key", "k", "--method", "POST", "--scope", "shared", "--payload").mustEnd(t, statusOK).mustSay(t, "paid")
}

func TestOnlyAWholeHTTPAnswerIsAccepted(t *testing.T) {
	t.Parallel()

	for _, text := range []string{
		"", "\n\n", "{}", "{}\n\nx", "HTTP/1.1\n\n", "HTTP/1.1 x\n\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", "HTTP/1.1 1000\n\n", "HTTP/1.1 200 OK\nno colon\n\n",
	} {
		if answer, err := parseAnswer([]byte(text)); err == nil {
			t.Errorf("%q is accepted: %+v", text, answer)
		}
	}
}

func TestMethodsOfHTTPAreRecognized(t *testing.T) {
	t.Parallel()

	for method, want := range map[string]bool{
		"POST": true, "POST /payments": true, "DELETE orders.delete": true, "MKCOL /files/{name}": true, "POST shop.test/payments": true,
		"payout": false, "PAYOUT": false, "PAY OUT": false, "consume/mail/orders": false, "/bank.Payments/Pay": false, "": false,
	} {
		if got := isHTTP(method); got != want {
			t.Errorf("%q: %t, want %t", method, got, want)
		}
	}
}
