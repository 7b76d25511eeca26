package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// A note is the part of a record that exists until the outcome is recorded: the request and the trace. It is encoded before the handler
// runs, because the handler may change the request.

// eventDetails is the part of the event at the end of a call that few calls have.
type eventDetails struct {
	// code and trace are those of the outcome that the call has ended with, or has found. Before that, trace is the call's own.
	code, trace string
	waited      time.Duration // for other calls with the key
}

// detail returns the details of the call, to add to them.
func (a *attempt) detail() *eventDetails {
	if a.details == nil {
		a.details = new(eventDetails)
	}

	return a.details
}

// takeNote makes the note of the claim.
func (a *attempt) takeNote() {
	e, note := a.engine, outcome.Stored{Kind: outcome.KindClaim}

	if e.trace != nil {
		if trace := e.trace(a.caller); trace != "" && len(trace) <= outcome.MaxText {
			note.Trace, a.detail().trace = trace, trace
		}
	}

	// Nobody sees the record of a single transaction while it runs.
	if a.shape() == single {
		return
	}

	if size := len(a.call.Request); size > 0 && size <= a.policy.KeepRequest {
		note.Request = a.call.Request
	}

	if !note.Empty() {
		a.claim.Note = note.Encode(&a.claim.Key)
	}
}

// attached is the part of the note that the outcome of the run keeps, or nil.
func (r *run) attached() *outcome.Attached {
	trace := r.ownTrace()
	if trace == "" {
		return nil
	}

	return &outcome.Attached{Trace: trace}
}

// ownTrace is the trace of the call. It is right only while the call has no outcome.
func (a *attempt) ownTrace() string {
	if a.details == nil {
		return ""
	}

	return a.details.trace
}

// noted decodes the note of the claim. takeNote has encoded it, so there is no error.
func (a *attempt) noted() outcome.Attached {
	if len(a.claim.Note) == 0 {
		return outcome.Attached{}
	}

	note, _ := outcome.Decode(&a.claim.Key, a.claim.Note)

	return note.Attached
}

// withoutNote is the claim without its note, for an operation that may wait in the backlog for long. The note may be large.
func (a *attempt) withoutNote() store.Claim {
	claim := a.claim
	claim.Note = nil

	return claim
}
