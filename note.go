package onlyonce

import (
	"time"

	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// What the record of a call keeps until its outcome is recorded: the request and the trace. It is encoded before the handler runs, which
// may change the request.

// story is what the event at the end of a call has besides its status, and what few calls have.
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

// attached is what the outcome of the run keeps, or nil.
func (r *run) attached() *outcome.Attached {
	trace := r.ownTrace()
	if trace == "" {
		return nil
	}

	return &outcome.Attached{Trace: trace}
}

// ownTrace is the trace of the call, while it has no outcome.
func (a *attempt) ownTrace() string {
	if a.story == nil {
		return ""
	}

	return a.story.trace
}

// noted is what the note of the claim keeps. What has been encoded before the run can be decoded.
func (a *attempt) noted() outcome.Attached {
	if len(a.claim.Note) == 0 {
		return outcome.Attached{}
	}

	note, _ := outcome.Decode(&a.claim.Key, a.claim.Note)

	return note.Attached
}

// withoutNote is the claim for an operation that does not need its note, which may be large and wait in the backlog for long.
func (a *attempt) withoutNote() store.Claim {
	claim := a.claim
	claim.Note = nil

	return claim
}
