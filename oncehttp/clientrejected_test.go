package oncehttp_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// WithProblems and presets write rejections of other forms. Retry-After shows that another attempt may bring another answer.
func TestClientRetriesRejectionsOfOtherForms(t *testing.T) {
	for name, c := range map[string]struct{ media, body string }{
		"text":       {"text/plain", "try it again"},
		"compressed": {"application/problem+json", "\x1f\x8b"},
		"Stripe":     {"application/json", `{"error":{"type":"idempotency_error","reason":"IDEMPOTENCY_IN_PROGRESS","message":"it runs"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			w, s := scripted(t, func(rw http.ResponseWriter, r *http.Request) {
				says(http.StatusConflict, onlyonce.StatusRejected, "Retry-After", "0", "Content-Type", c.media)(rw, r)
				_, _ = io.WriteString(rw, c.body)
			}, says(http.StatusOK, onlyonce.StatusReplayed))

			if _, outcome, err := w.pay(w.through()); err != nil || outcome.Status != onlyonce.StatusReplayed {
				t.Errorf("%+v, %v", outcome, err)
			}

			s.one(t, 2)
		})
	}
}

func TestClientReadsTheReasonInTheFormOfStripe(t *testing.T) {
	w := start(t, setup{options: []oncehttp.Option{oncehttp.WithPreset(oncehttp.Stripe())}}, nil)
	w.post("k").mustBe(onlyonce.StatusExecuted, http.StatusCreated)

	_, outcome, err := w.pay(w.through(), oncehttp.KeyHeader, "k")
	if err != nil || outcome.Reason != onlyonce.ReasonKeyReused || outcome.Verdict != onlyonce.VerdictUnknown {
		t.Errorf("%+v, %v", outcome, err)
	}
}
