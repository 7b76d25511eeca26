package oncehttp

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// problemTypes is where the documentation explains the reasons.
const problemTypes = "https://github.com/onlyonce-go/onlyonce/blob/main/docs/http.md#"

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
	// RetryAfter is how long to wait before the next try with the same key. Zero means that another try is of no use, or that nobody knows.
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
	h.Set(contentType, "application/problem+json")
	h.Set(contentLength, strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.status())

	_, _ = w.Write(body)
}

// statusOfReason is the status of a rejection: see docs/http.md.
func statusOfReason(reason onlyonce.Reason) int {
	switch reason {
	case onlyonce.ReasonKeyMissing, onlyonce.ReasonKeyInvalid:
		return http.StatusBadRequest
	case onlyonce.ReasonNotSupported:
		return http.StatusNotImplemented
	case onlyonce.ReasonKeyReused, onlyonce.ReasonKeyExpired:
		return http.StatusUnprocessableEntity
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost, onlyonce.ReasonOutcomeUnknown, onlyonce.ReasonOutcomeNotStored:
		return http.StatusConflict
	case onlyonce.ReasonStoreUnavailable, onlyonce.ReasonRecordNewer:
		return http.StatusServiceUnavailable
	case onlyonce.ReasonStoreFull:
		return http.StatusTooManyRequests
	case onlyonce.ReasonScopeMissing:
		return http.StatusUnauthorized
	case onlyonce.ReasonRecordUnreadable:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// titleOfReason is a short summary of a reason.
func titleOfReason(reason onlyonce.Reason) string {
	titles := map[onlyonce.Reason]string{
		onlyonce.ReasonKeyMissing:       "Idempotency key is missing",
		onlyonce.ReasonNotSupported:     "Request cannot be protected",
		onlyonce.ReasonKeyInvalid:       "Idempotency key is invalid",
		onlyonce.ReasonKeyReused:        "Idempotency key belongs to another request",
		onlyonce.ReasonKeyExpired:       "Idempotency key is too old",
		onlyonce.ReasonInProgress:       "Request is in progress",
		onlyonce.ReasonLeaseLost:        "Request was overtaken",
		onlyonce.ReasonOutcomeUnknown:   "Outcome is unknown",
		onlyonce.ReasonOutcomeNotStored: "Answer was not stored",
		onlyonce.ReasonStoreUnavailable: "Idempotency store is unavailable",
		onlyonce.ReasonStoreFull:        "Idempotency store is full",
		onlyonce.ReasonScopeMissing:     "Caller is unknown",
		onlyonce.ReasonRecordUnreadable: "Idempotency record is unreadable",
		onlyonce.ReasonRecordNewer:      "Idempotency record is newer",
	}

	return titles[reason]
}

// problemOf describes a rejection.
func problemOf(r *onlyonce.Rejection) *Problem {
	return &Problem{
		Type: problemTypes + reasonAnchor(r.Reason), Title: titleOfReason(r.Reason), Status: statusOfReason(r.Reason), Detail: r.Message,
		Reason: r.Reason, RetryAfter: r.RetryAfter, Metadata: maps.Clone(r.Metadata),
	}
}

// reasonAnchor is the anchor of a reason in the documentation.
func reasonAnchor(reason onlyonce.Reason) string {
	anchor := []byte(reason)
	for i, c := range anchor {
		if c >= 'A' && c <= 'Z' {
			anchor[i] = c + 'a' - 'A'
		}
	}

	return string(anchor)
}

// seconds writes a duration for the header Retry-After, rounded up.
func seconds(d time.Duration) string { return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10) }

// problemIn returns the problem that an error of a replay check means. The text of any other error is not for the caller.
func problemIn(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok && p != nil {
		return p
	}

	return &Problem{Status: http.StatusForbidden, Detail: "this caller may not see the answer to this request"}
}
