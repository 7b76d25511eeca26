package oncehttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// through returns a client with a Transport to the server of w.
func (w *world) through(opts ...oncehttp.ClientOption) *http.Client {
	w.t.Helper()

	quick := oncehttp.WithRetry(retry.Policy{BaseDelay: time.Microsecond, MaxDelay: time.Microsecond})

	transport, err := oncehttp.NewTransport(w.server.Client().Transport, append([]oncehttp.ClientOption{quick}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}

	return &http.Client{Transport: transport}
}

// pay makes a payment with a client.
func (w *world) pay(client *http.Client, headers ...string) (*answer, oncehttp.Outcome, error) {
	w.t.Helper()

	resp, err := client.Do(w.request(http.MethodPost, "/payments", "", "body", headers...))
	if err != nil {
		return nil, oncehttp.OutcomeOf(resp, err), err
	}
	defer resp.Body.Close()

	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}

	return &answer{w.t, resp.StatusCode, resp.Header, resp.Trailer, string(body), resp.ContentLength}, oncehttp.OutcomeOf(resp, nil), nil
}

func TestClientGivesARequestOneFreshKey(t *testing.T) {
	w := start(t, setup{}, nil)
	client := w.through()

	first, outcome, err := w.pay(client)
	if err != nil || outcome.Status != onlyonce.StatusExecuted || outcome.Verdict != onlyonce.VerdictFinal || outcome.Attempts != 1 {
		t.Fatalf("%+v, %v", outcome, err)
	}

	if _, ok := onlyonce.KeyTime(outcome.Key); !ok {
		t.Errorf("key %q is no UUID of version 7", outcome.Key)
	}

	// The key, sent again, gets the same answer.
	again, repeated, err := w.pay(client, oncehttp.KeyHeader, outcome.Key)
	if err != nil || repeated.Status != onlyonce.StatusReplayed || repeated.Key != outcome.Key || again.body != first.body {
		t.Errorf("%+v, %v", repeated, err)
	}

	// The next request is another operation.
	if _, next, err := w.pay(client); err != nil || next.Key == outcome.Key {
		t.Errorf("%+v, %v", next, err)
	}

	w.mustHaveRun(2)
}

func TestClientTakesTheKeyOfTheContext(t *testing.T) {
	w, s := scripted(t, says(200, onlyonce.StatusExecuted))
	client := w.through(oncehttp.WithQuotedKeys())

	r := w.request(http.MethodPut, "/", "", "")

	resp, err := client.Do(r.WithContext(onlyonce.ContextWithKey(r.Context(), `a"b\c`)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if key := s.one(t, 1); key != `"a\"b\\c"` || r.Header.Get(oncehttp.KeyHeader) != "" {
		t.Errorf("key %q; the request of the caller has %v", key, r.Header)
	}
}

func TestClientLeavesOtherRequestsAlone(t *testing.T) {
	w, s := scripted(t, says(503, ""))
	client := w.through()

	resp, err := client.Get(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if key := s.one(t, 1); key != "" || oncehttp.OutcomeOf(resp, nil).Key != "" {
		t.Errorf("key %q", key)
	}
}

func TestClientRefusesBadKeys(t *testing.T) {
	w, s := scripted(t, says(200, ""))
	client := w.through()

	for _, headers := range [][]string{
		{oncehttp.KeyHeader, "two words"}, {oncehttp.KeyHeader, "one", oncehttp.KeyHeader, "two"}, {oncehttp.KeyHeader, `"open`},
	} {
		if _, outcome, err := w.pay(client, headers...); err == nil || outcome.Verdict != onlyonce.VerdictFinal {
			t.Errorf("%q: %+v, %v", headers, outcome, err)
		}
	}

	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestClientRetriesWithTheSameKeyAndBody(t *testing.T) {
	for name, step := range map[string]func(http.ResponseWriter, *http.Request){
		"in progress":       rejects(409, onlyonce.ReasonInProgress, "0"),
		"lease lost":        rejects(409, onlyonce.ReasonLeaseLost, "0"),
		"store unavailable": rejects(503, onlyonce.ReasonStoreUnavailable, "0"),
		"store full":        rejects(429, onlyonce.ReasonStoreFull, "0"),
		"newer":             rejects(503, onlyonce.ReasonRecordNewer, "0"),
		"released":          says(503, onlyonce.StatusReleased),
		"unknown":           says(504, onlyonce.StatusUnknown),
		"a date":            rejects(409, onlyonce.ReasonInProgress, "Thu, 02 Jan 2020 03:04:05 GMT"),
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, step, again(step), says(201, onlyonce.StatusReplayed))

			a, outcome, err := w.pay(w.through())
			if err != nil || a.status != 201 || outcome.Attempts != 3 || outcome.Verdict != onlyonce.VerdictFinal {
				t.Errorf("%+v, %v", outcome, err)
			}

			s.one(t, 3)

			if !slices.Equal(s.body, []string{"body", "body", "body"}) {
				t.Errorf("bodies %q", s.body)
			}
		})
	}
}

func TestClientDoesNotRetry(t *testing.T) {
	for name, c := range map[string]struct {
		step    func(http.ResponseWriter, *http.Request)
		verdict onlyonce.Verdict
		reason  onlyonce.Reason
	}{
		"recorded 503":  {says(503, onlyonce.StatusExecuted), onlyonce.VerdictFinal, ""},
		"replayed 500":  {says(500, onlyonce.StatusReplayed), onlyonce.VerdictFinal, ""},
		"unknown 500":   {says(500, onlyonce.StatusUnknown), onlyonce.VerdictUnknown, ""},
		"released 429":  {says(429, onlyonce.StatusReleased), onlyonce.VerdictNotExecuted, ""},
		"reused":        {rejects(422, onlyonce.ReasonKeyReused, ""), onlyonce.VerdictUnknown, onlyonce.ReasonKeyReused},
		"invalid":       {rejects(400, onlyonce.ReasonKeyInvalid, ""), onlyonce.VerdictFinal, onlyonce.ReasonKeyInvalid},
		"not stored":    {rejects(409, onlyonce.ReasonOutcomeNotStored, ""), onlyonce.VerdictUnknown, onlyonce.ReasonOutcomeNotStored},
		"bare 503":      {says(503, ""), onlyonce.VerdictUnknown, ""},
		"bare 409":      {says(409, "", "Retry-After", "0"), onlyonce.VerdictUnknown, ""},
		"bare 200":      {says(200, ""), onlyonce.VerdictFinal, ""},
		"unprotected":   {says(200, onlyonce.StatusUnprotected), onlyonce.VerdictFinal, ""},
		"refused check": {says(403, onlyonce.StatusRejected), onlyonce.VerdictUnknown, ""},
		"asked to wait for longer than the retention": {
			rejects(409, onlyonce.ReasonInProgress, "86401"), onlyonce.VerdictUnknown, onlyonce.ReasonInProgress,
		},
		"asked to wait 2^32 seconds": {
			rejects(409, onlyonce.ReasonInProgress, "4294967296"), onlyonce.VerdictUnknown, onlyonce.ReasonInProgress,
		},
		"asked to wait for ever": {
			rejects(503, onlyonce.ReasonStoreUnavailable, "99999999999999999999999"), onlyonce.VerdictUnknown, onlyonce.ReasonStoreUnavailable,
		},
		"asked to wait until 9999": {
			rejects(429, onlyonce.ReasonStoreFull, "Fri, 31 Dec 9999 23:59:59 GMT"), onlyonce.VerdictUnknown, onlyonce.ReasonStoreFull,
		},
		"a stream behind a gateway": {gatewayStream, onlyonce.VerdictFinal, onlyonce.ReasonNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, c.step)

			_, outcome, err := w.pay(w.through())
			if err != nil || outcome.Verdict != c.verdict || outcome.Reason != c.reason {
				t.Errorf("%+v, %v; want %v %s", outcome, err, c.verdict, c.reason)
			}

			s.one(t, 1)
		})
	}
}

func TestClientLastAnswerIsTheAnswer(t *testing.T) {
	w, s := scripted(t, rejects(503, onlyonce.ReasonStoreUnavailable, "0"))

	a, outcome, err := w.pay(w.through(oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: 1})))
	if err != nil || a.status != 503 || len(a.body) < 10_000 || outcome.Reason != onlyonce.ReasonStoreUnavailable || outcome.Attempts != 3 ||
		outcome.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("%+v, %v", outcome, err)
	}

	s.one(t, 3)
}

// The confirmation rule: a server that has never shown that it protects the route gets a request once.
func TestClientDoesNotSendALostRequestAgainToAnUnconfirmedServer(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		header string // a key header that net/http also recognises
	}{"with a body": {"body", ""}, "without": {"", ""}, "without, with another header": {"", "X-Idempotency-Key"}} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, says(200, ""), drop) // the connection is kept alive by the first answer
			client := w.through()

			for range 2 {
				r := w.request(http.MethodPost, "/payments", "", c.body)
				if c.header != "" {
					r.Header.Set(c.header, "k")
				}

				resp, err := client.Do(r)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}

				if outcome := oncehttp.OutcomeOf(resp, err); err != nil && outcome.Verdict != onlyonce.VerdictUnknown {
					t.Errorf("%+v, %v", outcome, err)
				}
			}

			if n := len(s.requests()); n != 2 {
				t.Errorf("the server got %d requests, want 2", n)
			}
		})
	}
}

func TestClientSendsALostRequestAgainToAConfirmedServer(t *testing.T) {
	for name, shows := range map[string]func(http.ResponseWriter, *http.Request){
		"status":        says(200, onlyonce.StatusExecuted),
		"replayed":      says(200, "", oncehttp.ReplayedHeader, "true"),
		"repeatability": says(200, "", "Repeatability-Result", "accepted"),
		"draft": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/problem+json")
			rw.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(rw, `{"title":"Idempotency-Key is already used"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, shows, drop, again(drop), says(201, onlyonce.StatusExecuted))
			client := w.through()

			if _, _, err := w.pay(client); err != nil {
				t.Fatal(err)
			}

			a, outcome, err := w.pay(client)
			if err != nil || a.status != 201 || outcome.Attempts != 3 {
				t.Errorf("%+v, %v", outcome, err)
			}

			if n := len(s.requests()); n != 4 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestClientPresumesOnRequestAndUnlearns(t *testing.T) {
	w, s := scripted(t, drop, says(200, ""), again(drop))

	var log bytes.Buffer

	client := w.through(oncehttp.WithPresumed(func(*http.Request) bool { return true }),
		oncehttp.WithClientLogger(slog.New(slog.NewTextHandler(&log, nil))))

	if _, outcome, err := w.pay(client); err != nil || outcome.Attempts != 2 {
		t.Errorf("%+v, %v", outcome, err)
	}

	if _, outcome, err := w.pay(client); err == nil || outcome.Attempts != 1 || !strings.Contains(err.Error(), "not retried") {
		t.Errorf("%+v, %v", outcome, err)
	}

	if n := len(s.requests()); n != 3 || strings.Count(log.String(), "does not protect") != 1 {
		t.Errorf("%d requests, log %s", n, log.String())
	}
}

func TestClientRetriesWhatWasNeverSent(t *testing.T) {
	var dials int

	base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dials++

		return nil, errors.New("no route")
	}}

	transport, err := oncehttp.NewTransport(base, oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: 1}))
	if err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: transport}

	resp, err := client.Post("http://server.test/", "text/plain", strings.NewReader("body")) //nolint:bodyclose // there is none
	if outcome := oncehttp.OutcomeOf(resp, err); err == nil || outcome.Verdict != onlyonce.VerdictNotExecuted || dials != 3 ||
		onlyonce.VerdictOf(err) != onlyonce.VerdictNotExecuted {
		t.Errorf("%+v, %v, %d dials", outcome, err, dials)
	}
}

func TestClientDoesNotRetryABodyThatItCannotSendAgain(t *testing.T) {
	w, s := scripted(t, rejects(503, onlyonce.ReasonStoreUnavailable, "0"))

	resp, err := w.through().Post(w.server.URL, "text/plain", io.MultiReader(strings.NewReader("body")))
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()

	s.one(t, 1)
}

func TestClientObeysTheRetentionOfTheServer(t *testing.T) {
	w, s := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(oncehttp.RetentionHeader, "1")
		rejects(503, onlyonce.ReasonStoreUnavailable, "2")(rw, r)
	})

	if a, _, err := w.pay(w.through()); err != nil || a.status != 503 {
		t.Errorf("%v", err)
	}

	s.one(t, 1)
}

func TestClientAttemptTimeoutEndsOnlyTheAttempt(t *testing.T) {
	block := make(chan struct{})
	w, s := scripted(t, func(http.ResponseWriter, *http.Request) { <-block }, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(oncehttp.StatusHeader, "executed")
		_, _ = io.WriteString(rw, "body")
	})
	client := w.through(oncehttp.WithPresumed(func(*http.Request) bool { return true }),
		oncehttp.WithRetry(retry.Policy{MaxAttempts: 1000, AttemptTimeout: 100 * time.Millisecond, BaseDelay: 1}))

	t.Cleanup(func() { close(block) })

	if a, outcome, err := w.pay(client); err != nil || a.body != "body" || outcome.Attempts < 2 {
		t.Errorf("%+v, %v, %d requests", outcome, err, len(s.requests()))
	}
}

func TestClientGoesWithItsCaller(t *testing.T) {
	w, _ := scripted(t, rejects(503, onlyonce.ReasonStoreUnavailable, "3600"))

	ctx, cancel := context.WithCancel(t.Context())

	observed := w.through(oncehttp.WithAttempts(func(context.Context, retry.Attempt) { cancel() }))

	r := w.request(http.MethodPost, "/", "k", "body").WithContext(ctx)

	resp, err := observed.Do(r) //nolint:bodyclose // there is none
	if outcome := oncehttp.OutcomeOf(resp, err); !errors.Is(err, context.Canceled) || outcome.Key != "k" ||
		outcome.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("%+v, %v", outcome, err)
	}
}

// runTwice runs a handler twice with one key. Each run sends a request with the client.
func runTwice(t *testing.T, client *http.Client, address string) {
	t.Helper()

	w := start(t, setup{options: policy(oncehttp.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})},
		func(rw http.ResponseWriter, r *http.Request) {
			out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, address, strings.NewReader("c"))
			if err != nil {
				t.Error(err)
			}

			resp, err := client.Do(out)
			if err != nil {
				t.Error(err)

				return
			}

			_ = resp.Body.Close()

			rw.WriteHeader(http.StatusInternalServerError) // so that it runs again
		})

	w.post("k")
	w.post("k")
	w.mustHaveRun(2)
}

func TestClientInARunDerivesItsKeys(t *testing.T) {
	down, s := scripted(t, says(200, onlyonce.StatusExecuted))
	runTwice(t, down.through(), down.server.URL+"/charge")

	if key := s.one(t, 2); key == "" || key == "k" {
		t.Errorf("key %q", key)
	}
}

func TestInvalidTransports(t *testing.T) {
	for name, opt := range map[string]oncehttp.ClientOption{
		"retry":     oncehttp.WithRetry(retry.Policy{MaxAttempts: -1}),
		"retention": oncehttp.WithRetention(0),
		"protected": oncehttp.WithProtected(nil),
		"presumed":  oncehttp.WithPresumed(nil),
		"route":     oncehttp.WithRouteName(nil),
		"generator": oncehttp.WithKeyGenerator(nil),
		"statuses":  oncehttp.WithRetryStatuses(200),
	} {
		if _, err := oncehttp.NewTransport(nil, opt); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
