package store

import "time"

// Claim requests the right to run the handler of a key.
type Claim struct {
	Key   Key
	Token Token
	// Fence is the fence that the claim expects. It is 0 if the claim expects no record, otherwise the fence of the Released or
	// lease-ended record that the caller has read. The claim wins only if the record still has that fence. So a late copy of a losing
	// claim cannot win after its caller has gone.
	Fence uint64
	// Fingerprint is the fingerprint of the request. The first fingerprint of a record stays.
	Fingerprint Fingerprint
	// Guarantee is the guarantee of the caller's policy. The stricter of it and the record's holds. Zero counts as AtMostOnce.
	Guarantee Guarantee
	// MaxAttempts is how many runs may be started before takeover is refused. Zero means no bound.
	MaxAttempts uint32
	// Lease is how long the claim holds without renewal. It is positive.
	Lease time.Duration
	// MaxRun is the longest that the run may take. It is positive.
	MaxRun time.Duration
	// Retention is how long the record is kept once anybody has settled it. It is also how long after the first start a takeover may
	// start another run. It is positive: without a retention, a settled record would be absent at once, and the handler would run again.
	Retention time.Duration
	// Scope groups the records of one caller, for stores that bound what one caller may hold. Zero means that callers share one
	// scope on purpose: such records have no share of their own.
	Scope uint64
	// Method and ReadableKey are kept for operators. Either may be empty.
	Method, ReadableKey string
	// Note is opaque to stores. It is the Outcome of the record while the run goes on: what somebody else needs to settle the record if
	// the run never ends. Nil is no note.
	Note []byte
}

// Renewal extends the lease of a running record.
type Renewal struct {
	Key   Key
	Token Token
	// Lease is counted from the moment at which the store decides. It is positive.
	Lease time.Duration
	// Receipt is as in Completion.
	Receipt any
}

// Completion records an outcome.
type Completion struct {
	Key     Key
	Token   Token
	Outcome []byte
	// Retention replaces the retention of the record: it is how long the record is kept once the outcome is recorded. Zero leaves the
	// retention as the claim made it. An error may be kept for less time than an answer.
	Retention time.Duration
	// Receipt is the Receipt of the last Result that gave the run its lease, or nil. It lets a store take a shorter way, and does not
	// decide: the operation has the same result without it, with an older one, and with one that is not the store's own.
	Receipt any
}

// Release frees a key. It names the whole claim that it withdraws, because that claim may not have arrived yet. If there is no record,
// the release leaves a Released record with the claim's token behind, so that the claim loses when it arrives.
type Release struct {
	Claim Claim
	// Ambiguous means that the run may have taken effect all the same. The record is doubtful from then on.
	Ambiguous bool
	// Receipt is as in Completion.
	Receipt any
}

// Hold marks the outcome of a run as unknown.
type Hold struct {
	Key   Key
	Token Token
	// Outcome is everything that is known, for those who will settle the record.
	Outcome []byte
	// Receipt is as in Completion.
	Receipt any
}

// Resolution settles a record whose outcome is unknown: it is Unknown, or Running with an ended lease.
type Resolution struct {
	Key Key
	// Token and Fence are those of the record on which the decision was based. Fences begin anew after a forgetting, so only the token
	// prevents a late copy of the resolution from settling another record of the key.
	Token Token
	Fence uint64
	// State is Completed if the effect happened. It is Released if the effect did not happen and cannot happen any more.
	State State
	// AsOf is the time on the store's clock at which the record was read for the decision. If the owner may still have been alive at that
	// time, Released is refused, however late the resolution arrives. Zero means the time of arrival.
	AsOf time.Time
	// Outcome is recorded with the record: the answer that duplicates will get if State is Completed, a note if it is Released. Repeats of
	// a resolution as Completed are recognised by it.
	Outcome []byte
}

// Forgetting removes a record, by an operator's decision. The key is free afterwards, and its next call runs.
type Forgetting struct {
	Key Key
	// Token and Fence are those of the record on which the decision was based. Fences begin anew after a forgetting, so only the token
	// prevents a late copy of the forgetting from removing another record of the key.
	Token Token
	Fence uint64
	// Force removes the record even while its owner may be alive. A record that cannot be read has no token and no fence, and may have an
	// owner: Force removes it, whatever Token and Fence are.
	Force bool
}
