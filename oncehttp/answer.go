package oncehttp

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/onlyonce-go/onlyonce"
)

const (
	lowestFinal   = 200
	highestStatus = 999
)

// Answer is a whole answer: the finding of a recovery function, or the response that a handler passes to a transaction that it joins.
type Answer struct {
	// Status is the status; 0 means 200.
	Status int
	// Header has the headers. Only headers that the middleware records are kept: see WithRecordedHeaders. Nil means none.
	Header http.Header
	// Trailer has the trailers. Only trailers that the middleware records are kept. Nil means none.
	Trailer http.Header
	// Body is the body; nil means that it is empty.
	Body []byte
}

// FindingOf returns the finding that the effect of a request has happened, for a RecoverFunc and for onlyonce.Engine.Resolve. Duplicates of
// the request get the answer. Its headers are kept if every middleware records them: see WithRecordedHeaders. With a status outside of 200
// to 999, the outcome stays unknown.
func FindingOf(answer Answer) onlyonce.Finding {
	p := answer.payload(newHeaderSet(recordedByDefault()...))
	if p.status < lowestFinal || p.status > highestStatus {
		return onlyonce.StillUnknown()
	}

	return onlyonce.Happened(strconv.Itoa(p.status), p.encode(0))
}

// payload returns the part of the answer that is kept.
func (a *Answer) payload(recorded headerSet) *payload {
	p := &payload{kind: keptWhole, status: a.Status, header: recorded.pick(a.Header), trailer: recorded.pick(a.Trailer), body: a.Body}

	if p.status == 0 {
		p.status = http.StatusOK
	}

	return p
}

// collected returns the answer as if a handler had written it.
func (a *Answer) collected(recorded headerSet) collectedAnswer {
	trailer := recorded.heading(a.Trailer, nil)

	return collectedAnswer{
		status: cmp.Or(a.Status, http.StatusOK), heading: recorded.heading(a.Header, nil), trailer: trailer.fields, body: a.Body,
	}
}

// answerError is an answer as the error of its run. Duplicates get it if they wait for a run that leaves no record.
type answerError struct{ answer payload }

func (e *answerError) Error() string {
	return "oncehttp: the handler answered " + strconv.Itoa(e.answer.status) + " " + http.StatusText(e.answer.status)
}

// noBody reports whether answers with the status have no body.
func noBody(status int) bool {
	return status < lowestFinal || status == http.StatusNoContent || status == http.StatusNotModified
}
