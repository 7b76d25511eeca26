package oncehttp

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
)

// Problem is the answer to a request that was not executed, as in RFC 9457. It is also an error: a function of WithReplayCheck may return
// it.
type Problem struct { //nolint:errname // the name of RFC 9457
	// Type is a URI that names the kind of problem. Empty means about:blank.
	Type string
	// Title is a short summary; empty means the text of the status.
	Title string
	// Status is the status of the answer; 0 means 403.
	Status int
	// Detail is one sentence for a person, with what to do.
	Detail string
	// Reason is why the request was rejected; empty for a problem that is not of the contract.
	Reason onlyonce.Reason
	// RetryAfter is how long to wait before the next attempt with the same key. Zero means that another attempt is of no use, or that the
	// time is not known.
	RetryAfter time.Duration
	// Metadata are further members: see onlyonce.Rejection. It may be nil.
	Metadata map[string]string
}

// Error returns the title and the detail.
func (p *Problem) Error() string {
	return "oncehttp: " + strconv.Itoa(p.status()) + " " + p.title() + ": " + p.Detail
}

func (p *Problem) status() int {
	if p.Status == 0 {
		return http.StatusForbidden
	}

	return p.Status
}

func (p *Problem) title() string {
	if p.Title == "" {
		return http.StatusText(p.status())
	}

	return p.Title
}

// MarshalJSON writes the members of RFC 9457, the reason, and the metadata as further members.
func (p *Problem) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(p.Metadata)+5) //nolint:mnd // the members below
	for name, value := range p.Metadata {
		members[name] = value
	}

	members["type"], members["title"], members["status"] = p.Type, p.title(), p.status()
	if p.Type == "" {
		members["type"] = "about:blank"
	}

	if p.Detail != "" {
		members["detail"] = p.Detail
	}

	if p.Reason != "" {
		members["reason"] = p.Reason
	}

	return json.Marshal(members)
}

// writeProblem writes a problem as JSON.
func writeProblem(w http.ResponseWriter, _ *http.Request, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil { // text alone is always valid
		body = []byte("{}")
	}

	h := w.Header()
	h.Set(contentType, problemJSON)
	setLength(h, len(body))
	h.Set(noSniff, "nosniff")
	w.WriteHeader(p.status())

	_, _ = w.Write(body)
}

// typeTooLarge is the type of the problem of a body that is too large.
const typeTooLarge = "https://github.com/onlyonce-go/onlyonce/blob/main/docs/http.md#request_too_large"

// problemOf describes a rejection.
func problemOf(r *onlyonce.Rejection) *Problem {
	return &Problem{
		Type: httprules.Type(r.Reason), Title: httprules.Title(r.Reason), Status: httprules.Status(r.Reason), Detail: r.Message,
		Reason: r.Reason, RetryAfter: r.RetryAfter, Metadata: maps.Clone(r.Metadata),
	}
}

// problemIn returns the *Problem in an error of a replay check, or a 403. The text of any other error is not for the caller.
func problemIn(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok && p != nil {
		return p
	}

	return &Problem{Status: http.StatusForbidden, Detail: "this caller may not see the answer to this request"}
}
