package oncehttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/httprules"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
)

// Preset is the dialect of a published contract. See Stripe, RepeatableRequests and Draft. The zero value is the project's own contract,
// which accepts a key raw or as a string of RFC 8941.
type Preset struct {
	policy         Policy
	keyHeader      string                              // empty: KeyHeader
	parse          func(value string) (string, error)  // of the value of the key header; nil: httprules.ParseKey
	shared         bool                                // all routes share their keys
	posts          bool                                // only POST is protected
	firstSent      bool                                // the request has Repeatability-First-Sent
	result         bool                                // the answer has Repeatability-Result
	refusesIgnored bool                                // a key on a route without keys is refused
	status         func(r onlyonce.Reason, is int) int // nil: unchanged
	problems       func(w http.ResponseWriter, r *http.Request, p *Problem)
}

// Draft is draft-ietf-httpapi-idempotency-key-header-07 of 15 October 2025, to the letter: the key must be a string of RFC 8941, in
// quotes. See docs/http.md.
func Draft() Preset {
	return Preset{parse: func(value string) (string, error) {
		if !strings.HasPrefix(strings.Trim(value, " \t"), `"`) {
			return "", errors.New(`invalid idempotency key: it is no string of RFC 8941; put it in quotes, as in "` + "8e03978e" + `"`)
		}

		return httprules.ParseKey(value)
	}}
}

// Stripe is the contract that Stripe documents for its API. See docs/http.md.
//   - Only POST is protected. A key belongs to the caller, and not to a route.
//   - The key is the raw value of the header.
//   - Answers are kept for 24 hours, errors and 5xx too.
//   - Rejections have Stripe's form: {"error": {"type": …, "code": …, "message": …}}. A reused key has status 400.
func Stripe() Preset {
	const highestError = 599

	classes := make(map[int]onlyonce.Class)
	for status := http.StatusInternalServerError; status <= highestError; status++ {
		classes[status] = onlyonce.ClassDefinite
	}

	return Preset{
		policy:   Policy{Policy: onlyonce.Policy{Retention: onlyonce.DefaultRetention}, Classes: classes},
		parse:    func(value string) (string, error) { return value, nil },
		shared:   true,
		posts:    true,
		problems: writeStripe,
		status: func(r onlyonce.Reason, is int) int {
			if r == onlyonce.ReasonKeyReused || r == onlyonce.ReasonKeyExpired {
				return http.StatusBadRequest
			}

			return is
		},
	}
}

// writeStripe writes a problem in Stripe's form.
func writeStripe(w http.ResponseWriter, _ *http.Request, p *Problem) {
	kind, code := "api_error", ""

	switch p.Reason { //nolint:exhaustive // the others are errors of the server
	case onlyonce.ReasonKeyReused, onlyonce.ReasonKeyExpired, onlyonce.ReasonKeyInvalid:
		kind = "idempotency_error"
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost:
		kind, code = "idempotency_error", "idempotency_key_in_use"
	case onlyonce.ReasonKeyMissing, onlyonce.ReasonScopeMissing:
		kind = "invalid_request_error"
	case onlyonce.ReasonStoreFull:
		kind, code = "api_error", "rate_limit"
	}

	fields := map[string]string{"type": kind, "message": p.Detail, "reason": string(p.Reason)}
	if code != "" {
		fields["code"] = code
	}

	body, err := json.Marshal(map[string]any{"error": fields})
	if err != nil { // text alone is always valid
		body = []byte("{}")
	}

	h := w.Header()
	h.Set(contentType, "application/json")
	setLength(h, len(body))
	h.Set("Stripe-Should-Retry", strconv.FormatBool(p.RetryAfter > 0))
	w.WriteHeader(p.status())

	_, _ = w.Write(body)
}

// The headers of Repeatable Requests.
const (
	repeatabilityID        = "Repeatability-Request-Id"
	repeatabilityFirstSent = "Repeatability-First-Sent"
	repeatabilityResult    = "Repeatability-Result"
)

// RepeatableRequests is OASIS Repeatable Requests Version 1.0, Committee Specification 01 of 7 July 2020. See docs/http.md.
//   - The key is in Repeatability-Request-ID, and Repeatability-First-Sent must come with it.
//   - A request that was first sent longer ago than Policy.KeyLife less a tolerance is refused with 412, whether or not it has a record.
//     The tolerance is 10 minutes, or half of the key life where that is less.
//   - Every answer to a request with these headers has Repeatability-Result: accepted if the answer is the handler's, otherwise rejected.
//   - A reused key has status 400.
//   - A request with a key is refused with 501 on a route with KeyIgnored, unless its method is safe.
func RepeatableRequests() Preset {
	return Preset{
		keyHeader:      repeatabilityID,
		parse:          func(value string) (string, error) { return value, nil },
		firstSent:      true,
		result:         true,
		refusesIgnored: true,
		status: func(r onlyonce.Reason, is int) int {
			switch r {
			case onlyonce.ReasonKeyExpired:
				return http.StatusPreconditionFailed
			case onlyonce.ReasonKeyReused:
				return http.StatusBadRequest
			default:
				return is
			}
		},
	}
}

// checkFirstSent refuses a request that was first sent too long ago, or whose first time is missing. Life is the key life.
func checkFirstSent(h http.Header, life time.Duration, now time.Time) *onlyonce.Rejection {
	values := h.Values(repeatabilityFirstSent)
	if len(values) != 1 {
		return &onlyonce.Rejection{
			Reason:  onlyonce.ReasonKeyInvalid,
			Message: "the request has no Repeatability-First-Sent, or several; send the time of the first attempt, the same on every retry",
		}
	}

	sent, err := time.Parse(http.TimeFormat, values[0])
	if err != nil {
		return &onlyonce.Rejection{
			Reason:  onlyonce.ReasonKeyInvalid,
			Message: "Repeatability-First-Sent is no IMF-fixdate; write it as in " + http.TimeFormat,
		}
	}

	window, ok := keytime.Of(sent, life, now)

	switch {
	case !ok:
		return &onlyonce.Rejection{
			Reason:  onlyonce.ReasonKeyInvalid,
			Message: "Repeatability-First-Sent is in the future; set the clock",
		}
	case window.Over(now):
		return &onlyonce.Rejection{
			Reason: onlyonce.ReasonKeyExpired,
			Message: "the request was first sent longer ago than requests are tracked, so it may have been executed and is not executed now; " +
				"find out what became of it before you use a new id",
		}
	default:
		return nil
	}
}
