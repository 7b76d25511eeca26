package onlyonce

// Status is what became of a keyed call. Its values are the contract with clients: the trailer idempotency-status.
type Status string

// The statuses of a keyed call.
const (
	// StatusExecuted means that this call ran the handler, and its outcome is recorded. The outcome may be an error.
	StatusExecuted Status = "executed"
	// StatusReplayed means that an earlier call ran the handler, and that this call gets its outcome.
	StatusReplayed Status = "replayed"
	// StatusReleased means that the handler ran and nothing happened: the same key may be tried again. An ambiguous outcome has StatusUnknown,
	// even if it releases the key.
	StatusReleased Status = "released"
	// StatusUnknown means that it is not known whether the effect happened:
	//   - The handler of this call ended ambiguously.
	//   - The handler of this call returned an error marked NotExecuted, and another run of the key may have had its effect.
	//   - On the wire and in events, the call was rejected with ReasonOutcomeUnknown.
	StatusUnknown Status = "unknown"
	// StatusUnrecorded means that the handler has finished and its outcome is not stored. The caller gets the answer, and its duplicates may
	// not. No call under ExactlyOnce ends like this, because its answer needs a record.
	StatusUnrecorded Status = "unrecorded"
	// StatusUnprotected means that the handler ran without a record: the store was down and the policy's StoreDown is FailOpen, or the
	// method is in shadow mode.
	StatusUnprotected Status = "unprotected"
	// StatusRejected means that the call was rejected and has none of the other statuses: see Rejection.Reason.
	StatusRejected Status = "rejected"
)
