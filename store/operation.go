package store

import "time"

// Claim requests the right to run the handler of a key.
type Claim struct {
	Key   Key
	Token Token
	// Fence is the fence that the claim expects: 0 for no record, otherwise the fence of the Released or lease-ended record that the caller
	// read. The claim wins only if the record still has this fence. So a late copy of a losing claim cannot win after its caller has gone.
	Fence uint64
	// Fingerprint identifies the request. A record keeps the first fingerprint.
	Fingerprint Fingerprint
	// Guarantee is the guarantee of the caller's policy. The stricter of this guarantee and the record's applies. Zero counts as AtMostOnce.
	Guarantee Guarantee
	// MaxAttempts bounds Record.Attempts: a record with that many runs is not taken over. Zero means no bound.
	MaxAttempts uint32
	// Lease is how long the claim holds without renewal. It must be positive.
	Lease time.Duration
	// MaxRun is the longest time that the run may take. It must be positive.
	MaxRun time.Duration
	// Retention is how long the record is kept after it was settled. A takeover is refused once the first start is older than the retention.
	// Retention must be positive: without it a settled record would be absent at once, and the handler would run again.
	Retention time.Duration
	// Scope groups the records of one caller, for stores that bound the share of each caller. Zero means that callers share one scope on
	// purpose; such records have no share of their own.
	Scope uint64
	// Method and ReadableKey are shown to operators. Either may be empty.
	Method, ReadableKey string
	// Note is the Outcome of the record while it is Running. It is opaque to stores, and has what others need to settle the record if the run
	// never ends. Nil means no note.
	Note []byte
}

// Renewal extends the lease of a running record.
type Renewal struct {
	Key   Key
	Token Token
	// Lease counts from the time at which the store decides. It must be positive.
	Lease time.Duration
	// Receipt is as in [Completion].
	Receipt any
}

// Completion records the outcome of a run.
type Completion struct {
	Key     Key
	Token   Token
	Outcome []byte
	// Retention replaces the record's retention, which counts from this completion. Zero keeps the retention of the claim. It lets an error be
	// kept for less time than an answer.
	Retention time.Duration
	// Receipt is the Receipt of the last Result that gave the run its lease, or nil. A store may use it for a faster way. It never changes the
	// result: a nil, old or foreign receipt is allowed.
	Receipt any
}

// Release frees a key. It contains the whole claim that it withdraws, because that claim may still be on its way. If there is no record,
// Release leaves a Released record with the claim's token, so the claim loses when it arrives.
type Release struct {
	Claim Claim
	// Ambiguous means that the run may have taken effect all the same. It makes the record doubtful.
	Ambiguous bool
	// Receipt is as in [Completion].
	Receipt any
}

// Hold marks the outcome of a run as unknown.
type Hold struct {
	Key   Key
	Token Token
	// Outcome is what is known about the run, for those who settle the record.
	Outcome []byte
	// Receipt is as in [Completion].
	Receipt any
}

// Resolution settles a record whose outcome is unknown: an Unknown record, or a Running record whose lease has ended.
type Resolution struct {
	Key Key
	// Token and Fence are those of the record that the decision is based on. Fences restart after a Forgetting, so the token keeps a late copy
	// of the resolution from settling a later record of the key.
	Token Token
	Fence uint64
	// State is Completed if the effect happened. It is Released if the effect did not happen and can no longer happen. Every other state is
	// refused.
	State State
	// AsOf is the time, on the store's clock, at which the record was read for the decision. State Released is refused if the owner may have
	// been alive at that time, however late the resolution arrives. Zero means the time of arrival.
	AsOf time.Time
	// Outcome is kept in the record. If State is Completed, it is the answer that duplicates get, and repeats of the resolution are recognised
	// by it. If State is Released, it is a note.
	Outcome []byte
}

// Forgetting removes a record by decision of an operator. The key is then free, and its next call runs.
type Forgetting struct {
	Key Key
	// Token and Fence are those of the record that the decision is based on. Fences restart after a Forgetting, so the token keeps a late copy
	// of the forgetting from removing a later record of the key.
	Token Token
	Fence uint64
	// Force removes the record even while its owner may be alive. It also removes a record that cannot be read, whatever Token and Fence are:
	// such a record shows neither, and may have an owner.
	Force bool
}
