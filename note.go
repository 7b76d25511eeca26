package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// A note is the part of a record that exists until the outcome is recorded: the request and the trace. It is encoded before the handler
// runs, because the handler may change the request.

// story is the part of the event at the end of a call that few calls have.
type story struct {
	// code and trace are those of the outcome that the call has ended with, or has found. Before that, trace is the call's own.
	code, trace string
	waited      time.Duration // for other calls with the key
}

// tell returns the story of the call, to add to it.
func (a *attempt) tell() *story {
	if a.story == nil {
		a.story = new(story)
	}

	return a.story
}

// takeNote makes the note of the claim.
func (a *attempt) takeNote() {
	e, note := a.engine, outcome.Stored{Kind: outcome.KindClaim}

	if e.trace != nil {
		if trace := e.trace(a.caller); trace != "" && len(trace) <= outcome.MaxText {
			note.Trace, a.tell().trace = trace, trace
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
	if a.story == nil {
		return ""
	}

	return a.story.trace
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
