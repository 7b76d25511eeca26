package oncehttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// moves answers with a redirect that keeps the method and the body.
func moves(to string) func(http.ResponseWriter, *http.Request) {
	return says(http.StatusPermanentRedirect, "", "Location", to)
}

// An attempt may have been executed before the server has moved. The new place may have its record, and must get the same key.
func TestF05RequestThatIsRedirectedKeepsItsKey(t *testing.T) {
	ran := 0
	pay := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		ran++

		rw.WriteHeader(http.StatusCreated)
	})

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeShared(), oncehttp.WithRoute("POST /payments", oncehttp.Policy{}))
	if err != nil {
		t.Fatal(err)
	}

	moved := httptest.NewServer(protect(pay))
	t.Cleanup(moved.Close)

	old, s := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader("body")) // the script has read it
		protect(pay).ServeHTTP(httptest.NewRecorder(), r)
		drop(rw, r)
	}, moves(moved.URL+"/payments"))

	resp, err := old.through(always()).Do(old.request(http.MethodPost, "/payments", "", "body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	outcome := oncehttp.OutcomeOf(resp, nil)
	if outcome.Status != onlyonce.StatusReplayed || resp.StatusCode != http.StatusCreated || outcome.Key != s.one(t, 2) || ran != 1 {
		t.Errorf("%d %+v, %d runs; the old place got the keys %q", resp.StatusCode, outcome, ran, s.requests())
	}
}

// An attempt at the old place may have taken effect, although nothing reaches the new place.
func TestF05RequestThatIsRedirectedAfterALostAttemptIsUnknown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	for name, c := range map[string]struct {
		steps []func(http.ResponseWriter, *http.Request)
		want  onlyonce.Verdict
	}{
		"lost":     {[]func(http.ResponseWriter, *http.Request){drop, moves(gone.URL)}, onlyonce.VerdictUnknown},
		"not lost": {[]func(http.ResponseWriter, *http.Request){moves(gone.URL)}, onlyonce.VerdictNotExecuted},
	} {
		t.Run(name, func(t *testing.T) {
			old, s := scripted(t, c.steps...)

			resp, err := old.through(always()).Do(old.request(http.MethodPost, "/payments", "", "body")) //nolint:bodyclose // there is none
			if outcome := oncehttp.OutcomeOf(resp, err); outcome.Verdict != c.want || outcome.Key != s.one(t, len(c.steps)) {
				t.Errorf("%+v, %v; want %v", outcome, err, c.want)
			}
		})
	}
}

// The redirect is not the outcome of the lost attempt.
func TestF05RedirectAfterALostAttemptIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		steps []func(http.ResponseWriter, *http.Request)
		want  onlyonce.Verdict
	}{
		"lost":     {[]func(http.ResponseWriter, *http.Request){drop, moves("/new")}, onlyonce.VerdictUnknown},
		"not lost": {[]func(http.ResponseWriter, *http.Request){moves("/new")}, onlyonce.VerdictFinal},
		"recorded": {[]func(http.ResponseWriter, *http.Request){
			drop, says(http.StatusPermanentRedirect, onlyonce.StatusReplayed, "Location", "/new"),
		}, onlyonce.VerdictFinal},
	} {
		t.Run(name, func(t *testing.T) {
			old, _ := scripted(t, c.steps...)
			client := old.through(always())
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

			resp, err := client.Do(old.request(http.MethodPost, "/payments", "", "body"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()

			if outcome := oncehttp.OutcomeOf(resp, nil); outcome.Verdict != c.want || resp.StatusCode != http.StatusPermanentRedirect {
				t.Errorf("%d %+v, want %v", resp.StatusCode, outcome, c.want)
			}
		})
	}
}

// Nobody follows the redirect. The journal would lose a request that no server has executed.
func TestResumeKeepsARequestThatIsRedirected(t *testing.T) {
	for status, said := range map[int]onlyonce.Status{
		http.StatusMovedPermanently: "", http.StatusFound: "", http.StatusTemporaryRedirect: "", http.StatusPermanentRedirect: "",
		http.StatusSeeOther: onlyonce.StatusExecuted,
	} {
		w, _ := scripted(t, says(status, said, "Location", "/new"))
		k := left(w, time.Hour, w.request(http.MethodPost, "/", "k", ""))

		want := journal.Summary{Left: 1}
		if said != "" {
			want = journal.Summary{Answered: 1}
		}

		summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL)
		if (err == nil) != (want.Left == 0) || summary != want || len(k.kept()) != want.Left {
			t.Errorf("%d: %+v, %v, %d kept; want %+v", status, summary, err, len(k.kept()), want)
		}
	}
}

// The retention counts from the first attempt, also if that was at the old place.
func TestF29RetriesOfARedirectedRequestEndWithTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, last, attempts := time.Now(), time.Duration(0), 0
		k := new(keptRequests)

		transport, err := oncehttp.NewTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
			_ = r.Body.Close()
			last = time.Since(begin)

			attempts++
			if attempts != 2 {
				return nil, errors.New("lost")
			}

			time.Sleep(20 * time.Second)

			return &http.Response{
				StatusCode: http.StatusPermanentRedirect, Header: http.Header{"Location": {"/moved"}}, Body: http.NoBody, Request: r,
			}, nil
		}), always(), oncehttp.WithRetention(time.Minute), oncehttp.WithJournal(k.journal(t)),
			oncehttp.WithRetry(retry.Policy{MaxAttempts: 100, BaseDelay: time.Second, MaxDelay: time.Second}))
		if err != nil {
			t.Fatal(err)
		}

		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.test/payments", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}

		resp, err := (&http.Client{Transport: transport}).Do(r) //nolint:bodyclose // there is none
		if outcome := oncehttp.OutcomeOf(resp, err); outcome.Verdict != onlyonce.VerdictUnknown || attempts < 3 || last > 30*time.Second {
			t.Errorf("%+v, %d attempts, the last after %v; want none after 30s", outcome, attempts, last)
		}

		left := k.kept() // for Resume, the retention counts from there, too
		if len(left) == 0 || slices.ContainsFunc(left, func(e journal.Entry) bool { return !e.Written.Equal(begin) }) {
			t.Errorf("the journal has %+v, want entries of %v", left, begin)
		}
	})
}

// Both requests have one name for the run, and the first has succeeded.
func TestRequestOfARunMayBeRedirected(t *testing.T) {
	down, s := scripted(t, moves("/charge?moved"), says(http.StatusOK, onlyonce.StatusExecuted))
	runTwice(t, down.through(), down.server.URL+"/charge")
	s.one(t, 3) // the script redirects once
}
