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
// The Outcome of a request that no Transport has sent has no Key, and its Verdict is VerdictUnknown.
func OutcomeOf(resp *http.Response, err error) Outcome {
	if err != nil {
		if call, ok := errors.AsType[*callError](err); ok {
			return Outcome{Key: call.key, Verdict: call.verdict, Attempts: call.attempts}
		}

		return Outcome{}
	}

	if resp == nil || resp.Request == nil {
		return Outcome{}
	}

	c, ok := resp.Request.Context().Value(callKey{}).(*clientCall)
	if !ok {
		return Outcome{}
	}

	return Outcome{Key: c.key, Status: statusIn(resp), Reason: c.sign.reason, Verdict: c.verdict(), Attempts: c.attempts}
}

// callKey finds the call in the context of the request of its answer.
type callKey struct{}

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
