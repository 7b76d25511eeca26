package oncehttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// mostProblem is how many bytes of the body of an error are read to find a reason.
const mostProblem = 64 << 10

// errorDomain is the domain of the google.rpc.ErrorInfo in a rejection over gRPC.
const errorDomain = "onlyonce"

// sign is the evidence of an answer about the protection of its request.
type sign struct {
	shown     bool
	status    onlyonce.Status // empty: the answer has none, or it is in a trailer that has not come
	reason    onlyonce.Reason
	detail    string        // of the problem that has the reason
	after     time.Duration // of Retry-After
	asked     bool          // there is a Retry-After
	retention time.Duration // that the server has declared; 0: none
}

// signOf reads an answer. Of an error it reads a part of the body, and puts it back.
func signOf(resp *http.Response, now time.Time) sign {
	s := sign{status: statusIn(resp)}

	s.shown = s.status != "" || announced(resp) ||
		resp.Header.Get(ReplayedHeader) == "true" || resp.Header.Get(repeatabilityResult) != ""
	s.after, s.asked = retryAfterOf(resp.Header, now)
	s.retention = retentionOf(resp.Header.Get(RetentionHeader))

	if resp.StatusCode < http.StatusBadRequest || !isProblem(resp.Header.Get(contentType)) {
		return s
	}

	var p struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Reason string `json:"reason"`

		rpcStatus // a gateway may answer with one

		Error json.RawMessage `json:"error"` // a gateway answers with one in it to a stream
	}

	if json.Unmarshal(peek(resp), &p) != nil {
		return s
	}

	var inner rpcStatus
	_ = json.Unmarshal(p.Error, &inner) // others have texts there

	for _, st := range []rpcStatus{p.rpcStatus, inner} {
		if reason := st.reason(); reason != "" && p.Reason == "" {
			p.Reason, p.Detail = reason, st.Message
		}
	}

	if s.status == onlyonce.StatusRejected || s.status == onlyonce.StatusUnknown {
		s.reason, s.detail = onlyonce.Reason(p.Reason), p.Detail
	}

	// A server of the draft without the kit uses its own words. Any other error may mention idempotency for another reason.
	s.shown = s.shown || ofDraft(resp) && strings.Contains(strings.ToLower(p.Type+p.Title+p.Detail), "idempoten")

	return s
}

// rpcStatus is a google.rpc.Status in JSON, as grpc-gateway writes it, or an error of the preset Stripe.
type rpcStatus struct {
	Message string `json:"message"`
	Reason  string `json:"reason"` // of the preset
	Details []struct {
		Reason string `json:"reason"`
		Domain string `json:"domain"`
	} `json:"details"`
}

// reason returns the reason of a rejection, or "".
func (s *rpcStatus) reason() string {
	for _, detail := range s.Details {
		if detail.Domain == errorDomain {
			return detail.Reason
		}
	}

	return s.Reason
}

// ofDraft reports whether an answer can be an error of the IETF draft, section 2.7.
func ofDraft(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		return mediaOf(resp.Header.Get(contentType)) == problemJSON
	default:
		return false
	}
}

// announced reports whether the header declares a trailer with the status. It does not come if a hop speaks HTTP/1.0: the declaration is
// then left in the header.
func announced(resp *http.Response) bool {
	_, ok := resp.Trailer[StatusHeader]

	return ok || contains(resp.Header[trailerName], StatusHeader)
}

// statusIn returns the status of the contract in an answer, from its header or from a trailer that has come.
func statusIn(resp *http.Response) onlyonce.Status {
	if values := resp.Header[StatusHeader]; len(values) > 0 {
		return onlyonce.Status(values[len(values)-1])
	}

	return onlyonce.Status(resp.Trailer.Get(StatusHeader))
}

// isProblem reports whether a content type is a problem of RFC 9457, or JSON.
func isProblem(value string) bool {
	media := mediaOf(value)

	return media == problemJSON || media == "application/json"
}

const problemJSON = "application/problem+json"

// mediaOf returns the media type in a Content-Type.
func mediaOf(value string) string {
	media, _, _ := strings.Cut(value, ";")

	return strings.ToLower(strings.TrimSpace(media))
}

// peek returns the first bytes of a body, and leaves the body as it was.
func peek(resp *http.Response) []byte {
	first, err := io.ReadAll(io.LimitReader(resp.Body, mostProblem))

	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}

	resp.Body = &struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), rest), resp.Body}

	return first
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// retryAfterOf reads the Retry-After of an answer, in seconds or as a date. A date is compared with the clock of the server, if the answer
// has a Date. The longest of several values holds.
func retryAfterOf(h http.Header, now time.Time) (after time.Duration, asked bool) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}

	for _, value := range h[retryAfter] {
		if d, ok := delayOf(value, now); ok {
			after, asked = max(after, d), true
		}
	}

	return after, asked
}

// delayOf reads one Retry-After. A time that is too long for a time.Duration is the longest one.
func delayOf(value string, now time.Time) (time.Duration, bool) {
	n, err := strconv.ParseUint(value, 10, 64)

	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > math.MaxInt64/uint64(time.Second):
		return math.MaxInt64, true
	case err == nil:
		return time.Duration(n) * time.Second, true //nolint:gosec // it is in the range
	}

	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}

	return 0, false
}

// retentionOf reads an Idempotency-Retention. It returns 0 if it is missing or malformed.
func retentionOf(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(time.Second) {
		return 0
	}

	return max(time.Duration(n)*time.Second, 1)
}

// reply classifies an answer as evidence.
func (s *sign) reply(status int) reply {
	switch {
	case s.shown:
		return replyShown
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout,
		status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return replyInFront
	default:
		return replyBare
	}
}

// wantsRetry reports whether another attempt with the same key can bring another answer.
func (s *sign) wantsRetry(status int, retried []int) bool {
	switch s.status {
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed:
		return false
	case onlyonce.StatusRejected, onlyonce.StatusUnknown, onlyonce.StatusReleased, onlyonce.StatusUnrecorded, onlyonce.StatusUnprotected:
	}

	switch s.reason {
	case onlyonce.ReasonInProgress, onlyonce.ReasonLeaseLost, onlyonce.ReasonStoreUnavailable, onlyonce.ReasonStoreFull,
		onlyonce.ReasonRecordNewer:
		return true
	case "":
		// A server with WithProblems has a form of its own. A server of the draft answers 409 while the first request runs.
		return slices.Contains(retried, status) ||
			s.asked && (s.status == onlyonce.StatusRejected || s.status == "" && s.shown && status == http.StatusConflict)
	default:
		return false
	}
}

// verdict returns the verdict of an answer, without regard to earlier attempts.
func (s *sign) verdict(status int) onlyonce.Verdict {
	switch s.status {
	case onlyonce.StatusExecuted, onlyonce.StatusReplayed:
		return onlyonce.VerdictFinal
	case onlyonce.StatusReleased:
		return onlyonce.VerdictNotExecuted
	case onlyonce.StatusRejected:
		if s.reason != "" {
			return (&onlyonce.Rejection{Reason: s.reason}).Verdict()
		}

		return onlyonce.VerdictUnknown
	case onlyonce.StatusUnknown, onlyonce.StatusUnprotected, onlyonce.StatusUnrecorded:
		if s.status != onlyonce.StatusUnknown && status < http.StatusBadRequest {
			return onlyonce.VerdictFinal // it ran, and this is its answer
		}

		return onlyonce.VerdictUnknown
	default:
		if status < http.StatusBadRequest {
			return onlyonce.VerdictFinal
		}

		return onlyonce.VerdictUnknown
	}
}

// elsewhere reports whether an answer only names another place for the request, and so is no outcome. A redirect that a server of the kit
// has recorded shows it.
func (s *sign) elsewhere(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return !s.shown
	default:
		return false
	}
}
