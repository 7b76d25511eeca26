package oncehttp

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// editor is a writer in front of the middleware that changes the values of a header where they are.
type editor struct{ http.ResponseWriter }

func (w editor) WriteHeader(status int) {
	for i, value := range w.Header()["Location"] {
		w.Header()["Location"][i] = "/prefix" + value
	}

	w.ResponseWriter.WriteHeader(status)
}

// Requests that share the answer of a run may be served at the same time. A middleware in front may change the headers of each.
func TestRequestsThatShareAnAnswerDoNotShareItsHeaders(t *testing.T) {
	server := &Server{config: &config{}, recorded: newHeaderSet(recordedByDefault()...)}
	rt := &route{policy: Policy{Policy: onlyonce.Policy{Retention: onlyonce.DefaultRetention}}}

	begin := func() (*call, *httptest.ResponseRecorder) {
		to := httptest.NewRecorder()
		c := &call{server: server, route: rt, w: editor{to}, r: httptest.NewRequest(http.MethodPost, "/", http.NoBody)}
		c.values = c.space[:0]

		return c, to
	}

	owner, first := begin()
	owner.recorder = new(recorder)
	owner.recorder.begin(owner)
	owner.recorder.Header().Set("Location", "/1")
	owner.recorder.WriteHeader(http.StatusInternalServerError)
	owner.recorder.close(t.Context())

	a := owner.recorder.answer()
	out := owner.outcome(&a, new(marks))
	owner.deliver(onlyonce.StatusReleased, 0)

	answers := append(make([]*httptest.ResponseRecorder, 0, 3), first)

	for range 2 {
		c, to := begin()
		c.share(&onlyonce.Reply{Status: onlyonce.StatusReleased, Err: out.Err})

		answers = append(answers, to)
	}

	for i, to := range answers {
		if got := to.Header()["Location"]; len(got) != 1 || got[0] != "/prefix/1" || to.Code != http.StatusInternalServerError {
			t.Errorf("answer %d: %d, Location %q", i, to.Code, got)
		}
	}
}
