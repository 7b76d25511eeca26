package oncehttp_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

func TestDraftRequiresQuotes(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.Draft())}}, nil)

	w.post("8e03978e").mustReject(http.StatusBadRequest, onlyonce.ReasonKeyInvalid)
	w.post(`"8e03978e"`).mustBe(onlyonce.StatusExecuted, http.StatusCreated)
	w.post(`"8e03978e"`).mustBe(onlyonce.StatusReplayed, http.StatusCreated)
	w.mustHaveRun(1)
}

func TestStripe(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.Stripe()),
		oncehttp.WithPolicy(oncehttp.Policy{Key: oncehttp.KeyRequired})}},
		func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/fails" {
				rw.WriteHeader(http.StatusInternalServerError)
			}
		})

	send := func(method, path, key string) *answer { return w.send(w.request(method, path, key, "")) }

	// Every answer is saved, errors of the server too.
	send(http.MethodPost, "/fails", "k").mustBe(onlyonce.StatusExecuted, http.StatusInternalServerError)
	send(http.MethodPost, "/fails", "k").mustBe(onlyonce.StatusReplayed, http.StatusInternalServerError)

	// The key is the caller's, and not the route's. Quotes are a part of it.
	reused := send(http.MethodPost, "/other", "k").mustBe(onlyonce.StatusRejected, http.StatusBadRequest)
	send(http.MethodPost, "/fails", `"k"`).mustBe(onlyonce.StatusExecuted, http.StatusInternalServerError)

	missing := send(http.MethodPost, "/other", "").mustBe(onlyonce.StatusRejected, http.StatusBadRequest)

	for a, want := range map[*answer]string{reused: "idempotency_error", missing: "invalid_request_error"} {
		var body struct {
			Error struct {
				Type    string `json:"type"`
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Error.Type != want || body.Error.Message == "" ||
			a.header.Get("Stripe-Should-Retry") != "false" {
			t.Errorf("%s, %v, %v", a.body, a.header, err)
		}
	}

	// Other methods have no key.
	send(http.MethodDelete, "/other", "k").mustBe("", http.StatusOK)
	w.mustHaveRun(3)
}

func TestRepeatableRequests(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.RepeatableRequests())}}, nil)

	send := func(id, body string, sent ...string) *answer {
		r := w.request(http.MethodPost, "/", "", body, "Repeatability-Request-ID", id)
		for _, s := range sent {
			r.Header.Add("Repeatability-First-Sent", s)
		}

		return w.send(r)
	}

	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(http.TimeFormat) }
	result := func(a *answer, want string) {
		t.Helper()

		if got := a.header.Get("Repeatability-Result"); got != want {
			t.Errorf("Repeatability-Result is %q, want %q; %d %s", got, want, a.status, a.body)
		}
	}

	result(send("id", "body", at(0)).mustBe(onlyonce.StatusExecuted, http.StatusCreated), "accepted")
	result(send("id", "body", at(time.Hour)).mustBe(onlyonce.StatusReplayed, http.StatusCreated), "accepted")
	result(send("id", "other", at(0)).mustBe(onlyonce.StatusRejected, http.StatusBadRequest), "rejected")
	result(send("late", "body", at(24*time.Hour)).mustBe(onlyonce.StatusRejected, http.StatusPreconditionFailed), "rejected")
	result(send("id", "body", at(24*time.Hour)).mustBe(onlyonce.StatusRejected, http.StatusPreconditionFailed), "rejected")
	result(send("new", "body").mustBe(onlyonce.StatusRejected, http.StatusBadRequest), "rejected")
	result(send("new", "body", "yesterday").mustBe(onlyonce.StatusRejected, http.StatusBadRequest), "rejected")
	result(send("new", "body", at(0), at(0)).mustBe(onlyonce.StatusRejected, http.StatusBadRequest), "rejected")
	result(send("new", "body", at(-time.Hour)).mustBe(onlyonce.StatusRejected, http.StatusBadRequest), "rejected")
	w.mustHaveRun(1)

	// Idempotency-Key is no key here.
	w.post("k").mustBe("", http.StatusCreated)
}

func TestRepeatableRequestOnARouteWithoutKeysIsRefused(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.RepeatableRequests()),
		oncehttp.WithRoute("/search", oncehttp.Policy{Key: oncehttp.KeyIgnored})}}, nil)

	a := w.send(w.request(http.MethodPost, "/search", "", "", "Repeatability-Request-ID", "k"))
	a.mustReject(http.StatusNotImplemented, onlyonce.ReasonNotSupported)

	if got := a.header.Get("Repeatability-Result"); got != "rejected" {
		t.Errorf("Repeatability-Result %q", got)
	}

	w.mustHaveRun(0)

	w.send(w.request(http.MethodPost, "/search", "", "")).mustBe("", http.StatusCreated)
	w.send(w.request(http.MethodGet, "/search", "", "", "Repeatability-Request-ID", "k")).mustBe("", http.StatusCreated)
	w.mustHaveRun(2)
}

func TestOwnProblems(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithProblems(func(rw http.ResponseWriter, _ *http.Request, p *oncehttp.Problem) {
		rw.Header().Set("Content-Type", "text/plain")
		rw.WriteHeader(p.Status)
		_, _ = rw.Write([]byte(p.Reason))
	})}}, nil)

	if a := w.post("two words").mustBe(onlyonce.StatusRejected, http.StatusBadRequest); a.body != string(onlyonce.ReasonKeyInvalid) {
		t.Errorf("%q", a.body)
	}
}
