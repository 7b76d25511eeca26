package oncehttp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/oncehttp"
	"github.com/onlyonce-go/onlyonce/retry"
)

// A server that runs the first request is healthy. A server without its store is not.
func TestWaitingForAnotherRunCostsNoBudget(t *testing.T) {
	for reason, want := range map[onlyonce.Reason]int{
		onlyonce.ReasonInProgress: http.StatusCreated, onlyonce.ReasonLeaseLost: http.StatusCreated,
		onlyonce.ReasonStoreUnavailable: http.StatusServiceUnavailable,
	} {
		w, _ := scripted(t, rejects(http.StatusServiceUnavailable, reason, "0"), says(http.StatusCreated, onlyonce.StatusReplayed))

		budget, err := retry.NewBudget(1, 0.1)
		if err != nil {
			t.Fatal(err)
		}

		a, _, err := w.pay(w.through(oncehttp.WithRetry(retry.Policy{BaseDelay: 1, MaxDelay: 1, Budget: budget})))
		if err != nil || a.status != want {
			t.Errorf("%s: %+v, %v", reason, a, err)
		}
	}
}

// The server has kept the answer since the first attempt of the earlier process.
func TestResumeObeysTheRetentionOfTheServerSinceTheFirstAttempt(t *testing.T) {
	w, s := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(oncehttp.RetentionHeader, "7200")
		rejects(http.StatusServiceUnavailable, onlyonce.ReasonStoreUnavailable, "0")(rw, r)
	})
	k := left(w, 3*time.Hour, w.request(http.MethodPost, "/", "k", ""))

	summary, err := w.transport(k, nil, always()).Resume(t.Context(), w.server.URL)
	if summary.Answered != 0 || summary == (journal.Summary{}) || len(k.kept()) != 1 {
		t.Errorf("%+v, %v; the journal has %+v", summary, err, k.kept())
	}

	s.one(t, 1)
}
