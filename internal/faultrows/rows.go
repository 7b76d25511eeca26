package main

// row is a fault that must be survived.
type row struct {
	number string // F01
	fault  string
	must   string // happen
	needs  string // what a row without a test waits for; empty where every row must have one
}

// rows are all faults. H is how often the handler runs, E how often its effect happens.
func rows() []row {
	const replicas = "claims that wait for replicas"

	return []row{
		{"F01", "crash after the claim, before the handler", "the guarantee decides after the lease", ""},
		{"F02", "crash inside the handler, EXACTLY_ONCE", "rolled back; the retry gives H=2, E=1", ""},
		{"F03", "crash inside the handler, AT_MOST_ONCE", "unknown after the lease, never a silent second run", ""},
		{"F04", "crash after the handler, before the record", "as F03; a recovery function finds the effect and records it", ""},
		{"F05", "crash after the record, before the reply", "the retry replays identical bytes, status and trailers", ""},
		{"F06", "store down before the claim", "STORE_UNAVAILABLE, H=0; fail-open only where the method says so, and marked", ""},
		{"F07", "store down during the run", "it ends before its lease can have, where takeover is allowed; under AT_MOST_ONCE it goes on", ""},
		{"F08", "store down at completion", "the caller gets its answer, marked unrecorded; the record stays claimed", ""},
		{"F09", "reply to the claim lost", "the own claim is recognised, H=1", ""},
		{"F10", "request of the claim lost", "the retry claims, H=1", ""},
		{"F11", "reply to the completion lost", "recognised as already done", ""},
		{"F12", "reply to COMMIT lost", "decided by reading on another connection", ""},
		{"F13", "failover loses a claim", "the stale completion is refused", ""},
		{"F14", "partition with two masters", "with required replicas the claim is not granted", replicas},
		{"F15", "failover loses a completion", "the guarantee decides about the duplicate", ""},
		{"F16", "paused past the lease and overtaken", "the completion is refused; the caller gets the winner's outcome, or LEASE_LOST", ""},
		{"F17", "late owner under AT_MOST_ONCE", "its completion settles the record, unless somebody resolved it first", ""},
		{"F18", "completion races takeover", "exactly one wins", ""},
		{"F19", "renewal starved", "the run fences itself before its lease can have ended", ""},
		{"F20", "client cancels", "the run goes on and is recorded; the cancellation is not", ""},
		{"F21", "deadline passes during the run", "the same", ""},
		{"F22", "1,000 duplicates at once", "H=1, one answer for all", ""},
		{"F23", "a waiter's own deadline is shorter", "only that waiter fails", ""},
		{"F24", "same key, other request", "KEY_REUSED on every path", ""},
		{"F25", "same key, other method", "independent", ""},
		{"F26", "same key, other caller", "independent, and no difference to an unknown key", ""},
		{"F27", "permission withdrawn before the replay", "the check's answer, nothing stored is shown", ""},
		{"F28", "retention boundary", "before it a replay, from it on a new run", ""},
		{"F29", "retry after the retention", "the client does not send it", ""},
		{"F30", "store's clock steps", "single transactions: E=1; leases: documented, bounded by MaxRun", ""},
		{"F31", "application clocks differ", "no effect", ""},
		{"F32", "error of the handler, every code", "class and guarantee decide", ""},
		{"F33", "panic", "recorded by the guarantee, and raised again", ""},
		{"F34", "answer over the size cap", "kept as done without its body, H=1", ""},
		{"F35", "malformed keys", "KEY_INVALID before the store is asked", ""},
		{"F36", "stored bytes damaged or swapped", "RECORD_UNREADABLE, H=0, never absent", ""},
		{"F37", "encrypted or compressed record that inflates", "bounded", "sealed stores"},
		{"F38", "Any of unknown type in error details", "kept byte for byte", ""},
		{"F39", "record of a newer build", "not absent, never runs", ""},
		{"F40", "rolling deploy changes the request type", "a retry is still the same request", "the canonical fingerprint"},
		{"F41", "store full", "STORE_FULL before the handler", ""},
		{"F42", "Redis with an evicting policy", "refused at start-up", ""},
		{"F43", "record gone during the run", "the run ends", ""},
		{"F44", "cluster master killed", "claims work again soon", ""},
		{"F45", "key flood from one caller", "bounded", ""},
		{"F46", "encryption key rotated or missing", "old records readable, missing key refuses", "sealed stores"},
		{"F47", "serialization failure, deadlock, busy", "bounded retries, then STORE_UNAVAILABLE", ""},
		{"F48", "GracefulStop during a run", "it finishes and is recorded", ""},
		{"F49", "reconcilers race", "one transition", ""},
		{"F50", "handler changes its request", "the request as it was received counts", ""},
		{"F51", "empty answer", "replayed as such", ""},
		{"F52", "interceptors in the wrong order", "refused", ""},
		{"F53", "native retry and ours both on", "attempts do not multiply", ""},
		{"F54", "every reply to the claim lost", "released in the background; a claim that lands later loses", ""},
		{"F55", "a request that kills its process each time", "at most MaxAttempts runs; a single transaction leaves no trace to count by", ""},
		{"F56", "shutdown under load", "no new claims, runs end or are told", ""},
		{"F57", "downstream rejection passed on", "ambiguous, and re-labelled", ""},
		{"F58", "server without the interceptor", "not retried, and reported", ""},
		{"F59", "operator resolves, late owner completes differently", "one outcome for everybody", ""},
		{"F60", "guarantee changed by a rolling deploy", "the stricter holds", ""},
	}
}
