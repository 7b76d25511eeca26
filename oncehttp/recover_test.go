package oncehttp_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// found answers with a payment that was found.
func found(t *testing.T, want bool) oncehttp.RecoverFunc {
	t.Helper()

	return func(_ context.Context, r *http.Request, rec onlyonce.Record) (onlyonce.Finding, error) {
		if !want {
			if r != nil {
				t.Errorf("request %v", r)
			}

			return onlyonce.StillUnknown(), nil
		}

		if body, err := io.ReadAll(r.Body); string(body) != `{"amount":100}` || err != nil || r.URL.Path != "/payments" ||
			r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || rec.Code != "500" ||
			!strings.HasPrefix(r.Host, "127.0.0.1:") || r.Header.Get("Host") != "" {
			t.Errorf("%s %s %s %q %v, code %q, %v", r.Method, r.Host, r.URL, body, r.Header, rec.Code, err)
		}

		return oncehttp.FindingOf(oncehttp.Answer{
			Header: http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"a=b"}}, Body: []byte("found"),
		}), nil
	}
}

func failing(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }

func TestRecoverAnswersTheDuplicate(t *testing.T) {
	w := start(t, setup{options: policy(oncehttp.Policy{Recover: found(t, true)})}, failing)

	w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)

	for range 2 {
		if a := w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusOK); a.body != "found" || a.header.Get("Content-Type") != "text/plain" ||
			a.header.Get("Set-Cookie") != "" {
			t.Errorf("%q %v", a.body, a.header)
		}
	}

	w.mustHaveRun(1)
}

func TestRecoverWithoutADuplicate(t *testing.T) {
	for name, c := range map[string]struct {
		keep  int
		route string
	}{
		"kept": {1000, "/payments"}, "route of a host": {1000, "127.0.0.1/payments"}, "usual policy": {1000, ""}, "not kept": {0, ""},
		"too large": {5, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := oncehttp.Policy{Policy: onlyonce.Policy{KeepRequest: c.keep}, Recover: found(t, c.keep == 1000)}

			options := policy(p)
			if c.route != "" {
				options = []oncehttp.Option{oncehttp.WithRoute(c.route, p)}
			}

			w := start(t, setup{options: options}, failing)
			w.post("k").mustBe(onlyonce.StatusUnknown, http.StatusInternalServerError)

			method := "POST /{rest...}"

			rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: method, Key: "k"})
			if err != nil {
				t.Fatal(err)
			}

			if _, err := w.engine.Recover(t.Context(), rec); err != nil {
				t.Errorf("%v", err)
			}

			if c.keep == 1000 {
				w.post("k").mustBe(onlyonce.StatusReplayed, http.StatusOK)
			}
		})
	}
}

func TestFindingWithoutAStatusThatCanBeAnsweredIsNone(t *testing.T) {
	for _, status := range []int{-1, 1, 100, 199, 1000, 1<<16 + 200} {
		if got := oncehttp.FindingOf(oncehttp.Answer{Status: status}); !reflect.DeepEqual(got, onlyonce.StillUnknown()) {
			t.Errorf("%d: %+v", status, got)
		}
	}
}
