package oncehttp

import (
	"errors"
	"net/http"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/store"
)

// unreadable is the rejection of a request whose record cannot be read.
func unreadable(err error) *onlyonce.Rejection {
	if errors.Is(err, store.ErrNewer) {
		const delay = 2 * time.Second

		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonRecordNewer, RetryAfter: delay, Cause: err,
			Message: "the record of this idempotency key was written by a newer build; retry with the same key, another replica may know it",
		}
	}

	return &onlyonce.Rejection{
		Reason: onlyonce.ReasonRecordUnreadable, Cause: err,
		Message: "the recorded outcome of this idempotency key is damaged, so nothing was executed; an operator has to look at it",
	}
}

// refuseUnseen refuses a request that the engine has not refused, and reports it to the engine's observer.
func (c *call) refuseUnseen(err error) {
	c.server.engine.Refused(c.r.Context(), onlyonce.Identity{Scope: c.call.Scope, Method: c.call.Method, Key: c.call.Key}, err)
	c.refuse(err)
}

// refuse answers a request that has no outcome of its own.
func (c *call) refuse(err error) {
	rejection, ok := err.(*onlyonce.Rejection) //nolint:errorlint // what is wrapped is not this request's rejection
	if !ok {
		c.sendProblem(c.problemFor(err), onlyonce.StatusRejected, 0)

		return
	}

	status := onlyonce.StatusRejected
	if rejection.Reason == onlyonce.ReasonOutcomeUnknown {
		status = onlyonce.StatusUnknown
	}

	p := problemOf(rejection)
	if errors.Is(rejection.Cause, errTooLarge) { // the reason of requests that cannot be protected; a smaller one can
		p.Status, p.Title, p.Type = http.StatusRequestEntityTooLarge, "Request body is too large to be protected", typeTooLarge
	}

	if change := c.server.preset.status; change != nil {
		p.Status = change(p.Reason, p.Status)
	}

	c.sendProblem(p, status, rejection.Retention)
}

// problemFor returns the answer for an error that is no rejection.
func (c *call) problemFor(err error) *Problem {
	own, isOwn := err.(*Problem) //nolint:errorlint // one of this package

	switch {
	case isOwn:
		return own
	case c.r.Context().Err() != nil: // the client has left, or a middleware in front has set a deadline
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "the time of this request is over; retry with the same key"}
	case c.forbidden != nil:
		return problemIn(c.forbidden)
	default:
		return &Problem{Status: http.StatusInternalServerError, Detail: "the server is not set up for this request, so nothing was executed"}
	}
}

// sendProblem answers the request with a problem.
func (c *call) sendProblem(p *Problem, status onlyonce.Status, retention time.Duration) {
	if c.begun() {
		return
	}

	h := c.w.Header()
	c.announce(h, status, retention)

	if p.RetryAfter > 0 {
		h.Set(retryAfter, httprules.Seconds(p.RetryAfter))
	}

	own := *p
	own.Status, own.Title = p.status(), p.title()
	c.server.problems(c.w, c.r, &own)
}
