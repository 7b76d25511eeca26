package onlyonce

// Status is what became of a keyed call. Its values are the contract with clients: the trailer idempotency-status.
type Status string

// The statuses of a keyed call.
const (
	// StatusExecuted means that this call ran the handler, and its outcome is recorded.
	StatusExecuted Status = "executed"
	// StatusReplayed means that an earlier call ran the handler, and that this call gets its outcome.
	StatusReplayed Status = "replayed"
	// StatusReleased means that nothing happened and the same key may be tried again.
	StatusReleased Status = "released"
	// StatusUnknown means that this run, or an earlier one, ended ambiguously.
	StatusUnknown Status = "unknown"
	// StatusUnrecorded means that the handler has finished and its outcome could not be stored yet. No call under ExactlyOnce ends like
	// this, because its answer needs a record.
	StatusUnrecorded Status = "unrecorded"
	// StatusUnprotected means that the store was down and the policy's FailOpen lets the call run without it.
	StatusUnprotected Status = "unprotected"
	// StatusRejected means that the call was rejected and has none of the other statuses: see the rejection's reason.
	StatusRejected Status = "rejected"
)
