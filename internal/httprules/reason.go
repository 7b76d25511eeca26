// Package httprules has the parts of the contract over HTTP that all transports share: the form of a key in a header, and the status, title
// and type of a reason.
package httprules

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Status returns the HTTP status of a rejection.
func Status(reason onlyonce.Reason) int {
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

// Title returns a short summary of a reason, for people.
func Title(reason onlyonce.Reason) string {
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

// Type returns the URI of a reason as a type of problem (RFC 9457). The documentation explains the reason there.
func Type(reason onlyonce.Reason) string {
	return "https://github.com/onlyonce-go/onlyonce/blob/main/docs/http.md#" + strings.ToLower(string(reason))
}

// Seconds writes a duration for the header Retry-After, rounded up to whole seconds.
func Seconds(d time.Duration) string { return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10) }
