package onlyonce

import (
	"github.com/onlyonce-go/onlyonce/internal/outcome"
	"github.com/onlyonce-go/onlyonce/store"
)

// What the record of a call keeps until its outcome is recorded: the request and the trace. It is encoded before the handler runs, which
// may change the request.

// takeNote makes the note of the claim.
func (a *attempt) takeNote() {
	e, note := a.engine, outcome.Stored{Kind: outcome.KindClaim}

	if e.trace != nil {
		if trace := e.trace(a.caller); len(trace) <= outcome.MaxText {
			note.Trace, a.trace = trace, trace
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
	if r.trace == "" {
		return nil
	}

	return &outcome.Attached{Trace: r.trace}
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
