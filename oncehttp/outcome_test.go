package oncehttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// answersElsewhere answers a POST with a redirect to a place that does not know keys.
func answersElsewhere(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		rw.Header().Set("Location", "/payments/1")
		says(http.StatusSeeOther, onlyonce.StatusExecuted)(rw, r)
	case r.URL.Path == "/payments/1":
		rw.Header().Set("Location", "/moved/1")
		rw.WriteHeader(http.StatusFound)
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
}

// A POST that was answered with a 303 has that outcome, whatever becomes of the GET that http.Client makes of it.
func TestOutcomeIsThatOfTheRequestAndNotOfARedirect(t *testing.T) {
	stop := errors.New("no more redirects")

	for name, c := range map[string]struct {
		key      string // of the header; empty: of the context
		redirect func(*http.Request, []*http.Request) error
		failed   error
	}{
		"key of the header":  {key: "k"},
		"key of the context": {},
		"redirect refused":   {redirect: func(*http.Request, []*http.Request) error { return stop }, failed: stop},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, answersElsewhere)

			client := w.through(oncehttp.WithClientLogger(nil))
			client.CheckRedirect = c.redirect

			r := w.request(http.MethodPost, "/payments", c.key, "body")
			r = r.WithContext(onlyonce.ContextWithKey(r.Context(), "k"))

			resp, err := client.Do(r)
			if resp == nil || !errors.Is(err, c.failed) {
				t.Fatalf("%v, %v", resp, err)
			}
			defer resp.Body.Close()

			outcome := oncehttp.OutcomeOf(resp, err)
			if outcome != (oncehttp.Outcome{Key: "k", Status: onlyonce.StatusExecuted, Verdict: onlyonce.VerdictFinal, Attempts: 1}) {
				t.Errorf("%+v", outcome)
			}
		})
	}
}

func TestRedirectThatIsLostKeepsTheKey(t *testing.T) {
	w, _ := scripted(t, answersElsewhere, drop)

	resp, err := w.through().Do(w.request(http.MethodPost, "/payments", "k", "body")) //nolint:bodyclose // there is none
	if outcome := oncehttp.OutcomeOf(resp, err); err == nil || outcome.Key != "k" || outcome.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("%+v, %v", outcome, err)
	}
}

// The key belongs to the POST, and a server that does not read it on a GET lacks no protection.
func TestKeyOfTheContextIsNotSentWithARedirect(t *testing.T) {
	w, s := scripted(t, answersElsewhere)

	r := w.request(http.MethodPost, "/payments", "", "body")

	resp, err := w.through().Do(r.WithContext(onlyonce.ContextWithKey(r.Context(), "k")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if keys := s.requests(); strings.Join(keys, ",") != "k,," {
		t.Errorf("keys %q", keys)
	}
}

// Only the trailer has the status. Without it, a recovery or a proxy has ended an answer that is not whole.
func TestAnswerWithoutItsTrailerIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		trailer onlyonce.Status
		verdict onlyonce.Verdict
	}{
		"executed": {onlyonce.StatusExecuted, onlyonce.VerdictFinal},
		"released": {onlyonce.StatusReleased, onlyonce.VerdictNotExecuted},
		"none":     {"", onlyonce.VerdictUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := scripted(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Trailer", oncehttp.StatusHeader)
				_, _ = io.WriteString(rw, "body")

				if c.trailer != "" {
					rw.Header().Set(oncehttp.StatusHeader, string(c.trailer))
				}
			})

			resp, err := w.through().Do(w.request(http.MethodPost, "/payments", "k", "body"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if early := oncehttp.OutcomeOf(resp, nil); early.Verdict != onlyonce.VerdictUnknown {
				t.Errorf("before the end: %+v", early)
			}

			if body, err := io.ReadAll(resp.Body); string(body) != "body" || err != nil {
				t.Errorf("%q, %v", body, err)
			}

			if end := oncehttp.OutcomeOf(resp, nil); end.Verdict != c.verdict || end.Status != c.trailer {
				t.Errorf("at the end: %+v", end)
			}
		})
	}
}

// The answer to the call of a run may still be under way when RoundTrip returns. Its end decides whether the effect of the run is known.
func TestStreamedAnswerToACallOfARunEndsWithItsBody(t *testing.T) {
	down, _ := scripted(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", oncehttp.StatusHeader)
		_ = http.NewResponseController(rw).Flush()
		_, _ = io.WriteString(rw, "body")
		rw.Header().Set(oncehttp.StatusHeader, "executed")
	})
	client := down.through()

	for name, c := range map[string]struct {
		read bool
		said onlyonce.Status
	}{"read": {true, onlyonce.StatusExecuted}, "closed early": {false, onlyonce.StatusUnknown}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{}, func(rw http.ResponseWriter, r *http.Request) {
				out := down.request(http.MethodPost, "/charge", "", "c") //nolint:contextcheck // it gets the context below

				resp, err := client.Do(out.WithContext(r.Context()))
				if err != nil {
					t.Error(err)

					return
				}

				if c.read {
					_, _ = io.Copy(io.Discard, resp.Body)
				}

				_ = resp.Body.Close()

				rw.WriteHeader(http.StatusNotFound)
			})

			w.post("k").mustBe(c.said, http.StatusNotFound)
		})
	}
}
