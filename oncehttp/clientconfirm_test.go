package oncehttp_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// An error may speak of idempotency for another reason than a server that reads keys.
func TestOnlyAnErrorOfTheDraftConfirms(t *testing.T) {
	says := func(status int, media string) func(http.ResponseWriter, *http.Request) {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", media)
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"title":"Idempotency-Key is already used"}`)
		}
	}

	for name, c := range map[string]struct {
		step func(http.ResponseWriter, *http.Request)
		want int
	}{
		"of the draft":   {says(422, "application/problem+json; charset=utf-8"), 1 + 3},
		"another status": {says(403, "application/problem+json"), 1 + 1},
		"another form":   {says(422, "application/json"), 1 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, c.step, again(drop))
			client := w.through(oncehttp.WithRetry(retry.Policy{MaxAttempts: 3, BaseDelay: 1, MaxDelay: 1}))

			_, _, _ = w.pay(client)
			if _, _, err := w.pay(client); err == nil || len(s.requests()) != c.want {
				t.Errorf("%v after %d requests, want %d", err, len(s.requests()), c.want)
			}
		})
	}
}

// A server that has never answered may be one without the kit, which charges twice.
func TestLostRequestToAServerThatHasNeverAnsweredIsNotSentAgain(t *testing.T) {
	w, s := scripted(t, drop)

	if _, outcome, err := w.pay(w.through()); err == nil || outcome.Verdict != onlyonce.VerdictUnknown || len(s.requests()) != 1 {
		t.Errorf("%+v, %v after %d requests", outcome, err, len(s.requests()))
	}
}
