package oncehttp

import (
	"errors"
	"net/http"

	"github.com/onlyonce-go/onlyonce"
)

// Outcome describes the end of a request that a Transport has sent: see [OutcomeOf].
type Outcome struct {
	// Key is the key of the request; empty if the request had none.
	Key string
	// Status is the status that the server has declared; empty if it has declared none. In an answer that is sent while the handler
	// writes, it comes at the end of the body.
	Status onlyonce.Status
	// Reason is why the server has rejected the request; empty if it has not.
	Reason onlyonce.Reason
	// Verdict is the meaning of the answer, or of the error, for the key: see onlyonce.Verdict.
	Verdict onlyonce.Verdict
	// Attempts is the number of attempts.
	Attempts int
}

// OutcomeOf returns the outcome of a request. It takes both results of the request, with Transport behind an http.Client or alone:
//
//	resp, err := client.Do(req)
//	if outcome := oncehttp.OutcomeOf(resp, err); outcome.Verdict == onlyonce.VerdictUnknown { … } // keep outcome.Key, and try it again later
//
// An answer that is sent while the handler writes has VerdictUnknown until its body was read to the end.
//
// If an http.Client has followed redirects, the outcome is that of the last request with a key. So the outcome of a POST that was answered
// with a 303 does not depend on the answer to the GET that follows.
//
// The outcome of a request that no Transport has sent has no Key, and its Verdict is VerdictUnknown. This may also happen after the Timeout
// of an http.Client, which hides the error of the Transport. Bound the context of the request instead, or choose the key yourself with
// onlyonce.ContextWithKey.
func OutcomeOf(resp *http.Response, err error) Outcome {
	if call, ok := errors.AsType[*callError](err); ok {
		return Outcome{Key: call.key, Verdict: call.verdict, Attempts: call.attempts}
	}

	// An http.Client returns an answer and an error if CheckRedirect fails.
	c, status := callOf(resp)
	if c == nil {
		return Outcome{}
	}

	verdict := c.verdict()
	if c.ambiguous && c.resp != nil && c.sign.elsewhere(c.resp.StatusCode) {
		verdict = onlyonce.VerdictUnknown // an earlier attempt may have taken effect
	}

	return Outcome{Key: c.key, Status: status, Reason: c.sign.reason, Verdict: verdict, Attempts: c.attempts}
}

// callKey finds the call in the context of the request of its answer.
type callKey struct{}

// callOf returns the call of an answer, and the status of that answer. Without a call, both are of the latest redirect that has one.
func callOf(resp *http.Response) (*clientCall, onlyonce.Status) {
	for resp != nil && resp.Request != nil {
		if c, ok := resp.Request.Context().Value(callKey{}).(*clientCall); ok {
			return c, statusIn(resp)
		}

		resp = resp.Request.Response
	}

	return nil, ""
}

// redirectedBy returns the call whose answer is the redirect that has made a request, or nil.
func redirectedBy(r *http.Request) *clientCall {
	c, _ := callOf(r.Response)

	return c
}

// callError is the error of a request without an answer.
type callError struct {
	err      error
	key      string
	verdict  onlyonce.Verdict
	attempts int
	note     string
}

func (e *callError) Error() string             { return e.err.Error() + e.note }
func (e *callError) Unwrap() error             { return e.err }
func (e *callError) Verdict() onlyonce.Verdict { return e.verdict }
