package store

import "time"

// Claim asks for the right to run the handler of a key.
type Claim struct {
	Key   Key
	Token Token
	// Fence is the fence that the claim expects: 0 where it expects no record, otherwise that of the Released or
	// lease-ended record that the caller has read. The claim wins only if that is still the fence, so that a late copy
	// of a losing claim cannot win after its caller has gone.
	Fence uint64
	// Fingerprint is that of the request. The first one of a record stays.
	Fingerprint Fingerprint
	// Guarantee is what the caller asks for. The stricter of it and the record's holds. Zero counts as AtMostOnce.
	Guarantee Guarantee
	// Lease is how long the claim holds without renewal. It is positive.
	Lease time.Duration
	// MaxRun is the longest that the run may take. It is positive.
	MaxRun time.Duration
	// MaxAttempts is how many runs may be started before takeover is refused. Zero means no bound.
	MaxAttempts uint32
	// Retention bounds takeover: a run is not started again once the first start is older. Zero means no bound.
	Retention time.Duration
	// Method and ReadableKey are kept for operators. Either may be empty.
	Method, ReadableKey string
}

// Renewal extends the lease of a running record.
type Renewal struct {
	Key   Key
	Token Token
	// Lease is counted from the moment at which the store decides. It is positive.
	Lease time.Duration
}

// Completion records an outcome.
type Completion struct {
	Key     Key
	Token   Token
	Outcome []byte
	// Retention is counted from the moment at which the store decides. It is positive: a record without one would be absent,
	// and the handler would run again.
	Retention time.Duration
}

// Release gives a key back. It names the whole claim that it withdraws, because that claim may not have arrived yet:
// where there is no record, a Released one is left behind with the claim's token, so that the claim loses when it lands.
type Release struct {
	Claim Claim
	// Ambiguous says that the run may have taken effect all the same: the record is doubtful from then on.
	Ambiguous bool
	// Retention is how long the Released record lives, counted from the moment at which the store decides. It is positive.
	Retention time.Duration
}

// Hold marks the outcome of a run as unknown.
type Hold struct {
	Key   Key
	Token Token
	// Outcome is what is known, for those who will settle the record.
	Outcome []byte
}

// Resolution settles a record whose outcome is unknown: one that is Unknown, or Running with an ended lease.
type Resolution struct {
	Key Key
	// Fence is that of the record which the decision was based on.
	Fence uint64
	// State is Completed where the effect happened, Released where it did not happen and cannot happen any more.
	State State
	// AsOf is the time on the store's clock at which the decision was begun, with a look at the record. A look before the
	// owner was surely dead is no ground for Released, however late the resolution arrives. Zero means its arrival.
	AsOf time.Time
	// Outcome is the answer that duplicates will get. It is recorded where State is Completed.
	Outcome []byte
	// Retention is counted from the moment at which the store decides. It is positive: a record without one would be absent,
	// and the handler would run again.
	Retention time.Duration
}
