package oncehttp_test

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// parsesForms is a middleware that reads a token in a form, as protections against cross-site requests do.
func parsesForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.PostFormValue("token")

		next.ServeHTTP(rw, r)
	})
}

// drains is a middleware that reads the body and keeps it.
func drains(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)

		next.ServeHTTP(rw, r)
	})
}

// closes is a middleware that reads the body and closes it.
func closes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()

		next.ServeHTTP(rw, r)
	})
}

// begins is a middleware that reads the first bytes of the body and keeps them, as a json.Decoder leaves what follows its value.
func begins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 5)

		next.ServeHTTP(rw, r)
	})
}

func (w *world) postForm(key string, form url.Values, headers ...string) *answer {
	w.t.Helper()

	return w.send(w.request(http.MethodPost, "/payments", key, form.Encode(),
		append(headers, "Content-Type", "application/x-www-form-urlencoded")...))
}

func TestF24FormThatAMiddlewareInFrontHasParsedBelongsToTheRequest(t *testing.T) {
	t.Parallel()

	w := start(t, setup{front: parsesForms}, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(rw, r.PostFormValue("amount")+" "+string(body))
	})

	form := url.Values{"amount": {"100"}, "to": {"alice"}}

	first := w.postForm("form", form).mustBe(onlyonce.StatusExecuted, http.StatusOK)
	if first.body != "100 amount=100&to=alice" {
		t.Errorf("the handler got %q, want the form and its body", first.body)
	}

	w.postForm("form", form).mustBe(onlyonce.StatusReplayed, http.StatusOK).equal(first)
	w.postForm("form", url.Values{"amount": {"200"}, "to": {"alice"}}).mustReject(http.StatusUnprocessableEntity, onlyonce.ReasonKeyReused)
	w.mustHaveRun(1)
}

func TestFormThatAMiddlewareInFrontHasParsedIsBounded(t *testing.T) {
	t.Parallel()

	w := start(t, setup{front: parsesForms, options: policy(oncehttp.Policy{MaxRequest: 20})}, nil)

	r := w.request(http.MethodPost, "/payments", "large", "", "Content-Type", "application/x-www-form-urlencoded")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewBufferString("a=0123456789012345678901234567890")), -1
	w.send(r).mustBeTooLarge("20")
	w.mustHaveRun(0)
}

func TestBodyThatAHandlerInFrontHasReadRunsNothing(t *testing.T) {
	t.Parallel()

	var upload bytes.Buffer

	form := multipart.NewWriter(&upload)
	_ = form.WriteField("amount", "100")
	_ = form.Close()

	const unknownLength = -1

	for name, c := range map[string]struct {
		front             func(http.Handler) http.Handler
		body, contentType string
		length            int64 // 0: that of the body
	}{
		"drained":                           {drains, `{"amount":100}`, "application/json", 0},
		"drained and closed":                {closes, `{"amount":100}`, "application/json", 0},
		"drained and closed, of any length": {closes, `{"amount":100}`, "application/json", unknownLength},
		"a part is read":                    {begins, `{"amount":100}`, "application/json", 0},
		"multipart form":                    {parsesForms, upload.String(), form.FormDataContentType(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := start(t, setup{front: c.front}, nil)

			r := w.request(http.MethodPost, "/payments", "read", c.body, "Content-Type", c.contentType)
			r.ContentLength = cmp.Or(c.length, r.ContentLength)

			got := w.send(r)
			got.mustBe(onlyonce.StatusRejected, http.StatusInternalServerError)
			w.mustHaveRun(0)
		})
	}
}

func TestBodyThatIsDecodedInFrontMayBeEmpty(t *testing.T) {
	t.Parallel()

	w := start(t, setup{front: drains}, nil)
	w.send(w.request(http.MethodPost, "/payments", "gzip", "coded", "Content-Encoding", "gzip")).
		mustBe(onlyonce.StatusExecuted, http.StatusCreated)
}

func TestBodyThatAHandlerInFrontHasReadIsLogged(t *testing.T) {
	t.Parallel()

	var lines bytes.Buffer

	logged := onlyonce.WithObserver(onlyonce.AttentionObserver(slog.New(slog.NewTextHandler(&lines, nil))))
	w := start(t, setup{front: drains, engine: []onlyonce.Option{logged}}, nil)
	w.post("read")
	w.server.Close() // the server has written its lines

	if got := lines.String(); !strings.Contains(got, "put the middleware in front of that handler") {
		t.Errorf("the log has %q, want the remedy", got)
	}
}
