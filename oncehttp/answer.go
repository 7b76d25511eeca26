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

// Answer is a whole answer: what a recovery function finds, or what a handler passes to a transaction that it joins.
type Answer struct {
	// Status is the status; 0 means 200.
	Status int
	// Header are the headers. Only those that the middleware records are kept: see WithRecordedHeaders. Nil means none.
	Header http.Header
	// Trailer are the trailers, with the same rule.
	Trailer http.Header
	// Body is the body; nil means that it is empty.
	Body []byte
}

// FindingOf is the finding that the effect of a request has happened, for a RecoverFunc and for onlyonce.Engine.Resolve. Duplicates of the
// request get the answer. Of its headers, those are kept that every middleware records: see WithRecordedHeaders. A status outside of 200 to
// 999 cannot be answered: the outcome is then still unknown.
func FindingOf(answer Answer) onlyonce.Finding {
	p := answer.payload(newHeaderSet(recordedByDefault()...))
	if p.status < lowestFinal || p.status > highestStatus {
		return onlyonce.StillUnknown()
	}

	return onlyonce.Happened(strconv.Itoa(p.status), p.encode(0))
}

// payload returns what is kept of the answer.
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

// answerError is an answer as the error of its run. The duplicates that wait for a run which leaves no record get it.
type answerError struct{ answer payload }

func (e *answerError) Error() string {
	return "oncehttp: the handler answered " + strconv.Itoa(e.answer.status) + " " + http.StatusText(e.answer.status)
}

// noBody reports that answers with the status have no body.
func noBody(status int) bool {
	return status < lowestFinal || status == http.StatusNoContent || status == http.StatusNotModified
}
