package oncehttp

// The headers of the contract. In an answer that is sent while the handler still writes, StatusHeader and RetentionHeader are trailers.
const (
	// KeyHeader has the idempotency key of a request, raw or as a string of RFC 8941: abc and "abc" are the same key.
	KeyHeader = "Idempotency-Key"
	// StatusHeader has the onlyonce.Status of a keyed request.
	StatusHeader = "Idempotency-Status"
	// ReplayedHeader is true in the answer to a duplicate.
	ReplayedHeader = "Idempotent-Replayed"
	// ExecutedAtHeader is when the handler of a replayed answer ended, in RFC 3339 and UTC.
	ExecutedAtHeader = "Idempotency-Executed-At"
	// RetentionHeader is how long the answer is kept, in whole seconds. It is sent if the time is not 24 hours.
	RetentionHeader = "Idempotency-Retention"
	// AttemptHeader numbers the retries of a client, from 1. It is never part of the identity of a request.
	AttemptHeader = "X-Retry-Attempt"
)

// Names that are used often.
const (
	contentType     = "Content-Type"
	contentEncoding = "Content-Encoding"
	contentLength   = "Content-Length"
	hostName        = "Host"
	retryAfter      = "Retry-After"
	trailerName     = "Trailer"
	noSniff         = "X-Content-Type-Options"
)
