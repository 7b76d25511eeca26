package onlyonce

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// retryDelay is how long the callers of a rejection should wait, without jitter. Zero means that another try is of no use.
func retryDelay(reason Reason) time.Duration {
	switch reason {
	case ReasonInProgress, ReasonLeaseLost:
		return 500 * time.Millisecond
	case ReasonStoreUnavailable:
		return time.Second
	case ReasonStoreFull, ReasonRecordNewer:
		return 2 * time.Second
	case ReasonOutcomeUnknown:
		return time.Minute
	case ReasonKeyMissing, ReasonNotSupported, ReasonKeyInvalid, ReasonKeyReused, ReasonKeyExpired, ReasonOutcomeNotStored,
		ReasonScopeMissing, ReasonRecordUnreadable:
		return 0
	default:
		return 0
	}
}

// jittered spreads a delay by half either way, so that callers who were rejected together do not come back together.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}

	return d/2 + rand.N(d) //nolint:gosec // not a secret
}

func reject(reason Reason, message string, cause error) *Rejection {
	return &Rejection{Reason: reason, Message: message, RetryAfter: jittered(retryDelay(reason)), Cause: cause}
}

// again returns the same rejection for another caller, with a delay of its own.
func (r *Rejection) again() *Rejection {
	other := *r
	other.RetryAfter = jittered(retryDelay(r.Reason))

	return &other
}

// noKey is the message for a call without a key.
const noKey = "this call has no idempotency key; send one key per operation, the same on every retry"

// inProgress is the message for a duplicate of a call that runs elsewhere.
const inProgress = "a call with this idempotency key is in progress; retry with the same key to get its outcome"

func rejectInProgress(message string) *Rejection {
	return reject(ReasonInProgress, message, nil)
}

// first is the state of the first request with a key.
type first string

const (
	firstCompleted first = "completed"
	firstRunning   first = "running"
	firstUnknown   first = "unknown"
	firstReleased  first = "released"
)

// firstOf returns the state of the request of a record. Alive reports that the record's lease has not ended.
func firstOf(rec *store.Record, alive bool) first {
	switch {
	case rec.State == store.Completed:
		return firstCompleted
	case rec.State == store.Running && alive:
		return firstRunning
	case rec.State == store.Released && !rec.Doubtful:
		return firstReleased
	default:
		return firstUnknown
	}
}

// rejectReused rejects a call whose key belongs to another request. While the first request may take effect, the caller must not use a new
// key: a corrected order with a new key would be a second order.
func rejectReused(became first) *Rejection {
	var message string

	switch became {
	case firstCompleted:
		message = "this idempotency key belongs to another request, which has been answered; use a new key only for a new operation"
	case firstReleased:
		message = "this idempotency key belongs to another request, which had no effect; use a new key only if nobody sends that request again"
	case firstRunning:
		message = "this idempotency key belongs to another request, which is running and may have taken effect; " +
			"send that request again to get its outcome"
	case firstUnknown:
		message = "this idempotency key belongs to another request, which may have taken effect; find out what became of that request"
	}

	r := reject(ReasonKeyReused, message, nil)
	r.Metadata = map[string]string{metadataFirst: string(became)}

	return r
}

func rejectLeaseLost() *Rejection {
	return reject(ReasonLeaseLost,
		"this run was overtaken by another one, which has no outcome yet; retry with the same key to get it", nil)
}

// rejectUncertain rejects the caller of a run whose transaction may have committed.
func rejectUncertain(err error) *Rejection {
	return reject(ReasonLeaseLost,
		"it is not known yet whether the transaction of this call has committed; retry with the same key to get its one outcome", err)
}

// rejectNotCommitted rejects the caller of a joined run whose answer is in no record.
func rejectNotCommitted(cause error) *Rejection {
	return reject(ReasonLeaseLost,
		"no record shows that the transaction of this call has committed, so its answer does not count; retry with the same key", cause)
}

// rejectRolledBack rejects the caller of a run whose transaction surely left nothing.
func rejectRolledBack(err error) *Rejection {
	return reject(ReasonStoreUnavailable,
		"the transaction of this call could not be committed and was rolled back; retry with the same key", err)
}

// rejectExpired rejects a time-ordered key that is too old to make a record.
func rejectExpired() *Rejection {
	return reject(ReasonKeyExpired, tooOld, nil)
}

func rejectDraining() *Rejection {
	return reject(ReasonStoreUnavailable,
		"this server is shutting down and nothing was executed by this call; retry with the same key", nil)
}

func rejectTooLate() *Rejection {
	return reject(ReasonLeaseLost,
		"the idempotency store answered so late that the lease of this call may have ended, so nothing was executed by this call; "+
			"retry with the same key", nil)
}

// The metadata of a rejection.
const (
	metadataCode  = "original_code"
	metadataSince = "since"
	metadataFirst = "first"
)

func rejectUnknown(code string, since time.Time) *Rejection {
	r := reject(ReasonOutcomeUnknown,
		"an earlier call with this idempotency key ended in an unknown way and may have taken effect; "+
			"retry later with the same key, do not use another key", nil)

	r.Metadata = map[string]string{metadataSince: since.UTC().Format(time.RFC3339)}
	if code != "" {
		r.Metadata[metadataCode] = code
	}

	return r
}

func rejectNotStored(code string, retention time.Duration) *Rejection {
	r := reject(ReasonOutcomeNotStored,
		"the call with this idempotency key has been executed and its answer was too large to keep; "+
			"read the result in another way, it will not be executed again", nil)
	r.Metadata, r.Retention = map[string]string{metadataCode: code}, retention

	return r
}

// rejectStoreError turns the error of a store, before anything ran, into a rejection.
func rejectStoreError(err error) *Rejection {
	switch {
	case errors.Is(err, store.ErrFull):
		return reject(ReasonStoreFull, "the idempotency store is full and nothing was executed by this call; retry with the same key", err)
	case errors.Is(err, store.ErrBusy):
		return reject(ReasonInProgress,
			"another transaction holds this idempotency key; retry with the same key to get its outcome", err)
	case errors.Is(err, store.ErrNoKey):
		return reject(ReasonRecordNewer,
			"the record of this idempotency key is sealed with an encryption key that this server does not have; "+
				"retry with the same idempotency key, another replica may have it", err)
	case errors.Is(err, store.ErrNewer):
		return reject(ReasonRecordNewer,
			"the record of this idempotency key was written by a newer build; retry with the same key, another replica may know it", err)
	case errors.Is(err, store.ErrUnreadable):
		return reject(ReasonRecordUnreadable,
			"the record of this idempotency key is damaged, so nothing was executed; an operator has to look at it", err)
	default:
		return reject(ReasonStoreUnavailable,
			"the idempotency store cannot be reached and nothing was executed by this call; retry with the same key", err)
	}
}
