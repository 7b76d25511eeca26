package oncehttp_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// curl runs curl and returns its output: header and body of the answer.
func (w *world) curl(args ...string) string {
	w.t.Helper()

	return curl(w.t, args...)
}

func curl(t *testing.T, args ...string) string {
	t.Helper()

	var out, problems bytes.Buffer

	args = append([]string{"--silent", "--show-error", "--include", "--insecure", "--max-time", "60"}, args...)
	cmd := exec.CommandContext(t.Context(), "curl", args...)
	cmd.Stdout, cmd.Stderr = &out, &problems

	if err := cmd.Run(); err != nil {
		t.Fatalf("curl %q: %v: %s; install it, for example with apt-get install curl", args, err, problems.String())
	}

	return strings.ReplaceAll(out.String(), "\r\n", "\n")
}

func mustHave(t *testing.T, answer string, parts ...string) {
	t.Helper()

	lower := strings.ToLower(answer)
	for _, part := range parts {
		if !strings.Contains(lower, strings.ToLower(part)) {
			t.Errorf("%q is not in\n%s", part, answer)
		}
	}
}

func TestCurl(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		t.Helper()

		w := start(t, setup{http2: http2, options: []oncehttp.Option{
			oncehttp.WithRoute("POST /payments", oncehttp.Policy{Key: oncehttp.KeyRequired, MaxRequest: 1000}),
		}}, nil)

		large := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(large, make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}

		pay := func(args ...string) string {
			return w.curl(append([]string{"--header", "Content-Type: application/json", w.server.URL + "/payments"}, args...)...)
		}
		body := []string{"--data", `{"amount":100}`}

		mustHave(t, pay(append(body, "--header", `Idempotency-Key: "8e03978e"`)...), " 201", "idempotency-status: executed", "\n\n#1")
		mustHave(t, pay(append(body, "--header", "Idempotency-Key: 8e03978e")...), " 201", "idempotency-status: replayed",
			"idempotent-replayed: true", "idempotency-executed-at: 20", "\n\n#1")
		mustHave(t, pay("--data", `{"amount":200}`, "--header", "Idempotency-Key: 8e03978e"), " 422", "IDEMPOTENCY_KEY_REUSED",
			"application/problem+json")
		mustHave(t, pay(body...), " 400", "IDEMPOTENCY_KEY_MISSING")
		mustHave(t, pay(append(body, "--header", "Idempotency-Key;")...), " 400", "IDEMPOTENCY_KEY_INVALID")
		mustHave(t, pay("--data-binary", "@"+large, "--header", "Idempotency-Key: large"), " 413", "IDEMPOTENCY_NOT_SUPPORTED")
		mustHave(t, pay("--data-binary", "@"+large, "--header", "Idempotency-Key: large", "--header", "Expect: 100-continue"), " 413")
		mustHave(t, pay(append(body, "--header", "Idempotency-Key: chunked", "--header", "Transfer-Encoding: chunked")...), " 201", "executed")
		mustHave(t, pay(append(body, "--header", "Idempotency-Key: chunked")...), " 201", "replayed")

		w.mustHaveRun(2)
	})
}

func TestCurlWhileTheFirstRequestRuns(t *testing.T) {
	running, proceed := make(chan struct{}), make(chan struct{})
	w := start(t, setup{engine: []onlyonce.Option{patient()}, options: []oncehttp.Option{
		oncehttp.WithRoute("/nowait", oncehttp.Policy{Policy: onlyonce.Policy{MaxWait: onlyonce.NoWait}}),
	}}, func(rw http.ResponseWriter, _ *http.Request) {
		close(running)
		<-proceed
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: "secret"})
		rw.WriteHeader(http.StatusCreated)
	})

	pay := func(data, user string) string {
		return curl(t, "--data", data, "--header", "Idempotency-Key: k", "--user-agent", user, w.server.URL+"/nowait")
	}

	first := make(chan string)
	go func() { first <- pay("{}", "first") }()

	<-running

	mustHave(t, pay("{}", "second"), " 409", "retry-after: 1", "IDEMPOTENCY_IN_PROGRESS", `"status":409`,
		`"type":"https://`, `"title":"`, `"detail":"`)
	mustHave(t, pay("[]", "second"), " 422", "IDEMPOTENCY_KEY_REUSED", `"first":"running"`)
	close(proceed)
	mustHave(t, <-first, " 201", "idempotency-status: executed", "set-cookie: session=secret")

	again := pay("{}", "second")
	mustHave(t, again, " 201", "idempotency-status: replayed")

	if strings.Contains(strings.ToLower(again), "set-cookie") {
		t.Errorf("the cookie of the first caller is in\n%s", again)
	}

	w.mustHaveRun(1)
}

func TestCurlRetriesByItself(t *testing.T) {
	var fails bool

	w := start(t, setup{front: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if fails = !fails; fails { // the first answer is lost behind the server
				next.ServeHTTP(discard{rw.Header()}, r)
				rw.Header().Set("Retry-After", "0")
				rw.WriteHeader(http.StatusBadGateway)

				return
			}

			next.ServeHTTP(rw, r)
		})
	}}, nil)

	mustHave(t, w.curl("--retry", "3", "--retry-delay", "1", "--data", "{}", "--header", "Idempotency-Key: k", w.server.URL),
		" 201", "idempotency-status: "+string(onlyonce.StatusReplayed), "#1")
	w.mustHaveRun(1)
}

// discard loses an answer.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return make(http.Header) }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
