package main

import "slices"

// limit is a limit of the guarantees, or a surprising fact.
type limit struct {
	id   string // anchor on the page
	what string
	todo string // a remedy, or a link
}

// notPromised returns the limits of the guarantees.
func notPromised() []limit {
	return []limit{
		{
			"effects-elsewhere", "Exactly once for effects elsewhere. A process may die between a provider's charge and the note of it.",
			"`AtMostOnce` reports such a call as unknown instead of charging twice. [Settle it](operating.md), best by a recovery function.",
		},
		{
			"more-than-rows", "Exactly once for more than rows. `ExactlyOnce` is about rows of the database that has the records. What a " +
				"handler does elsewhere may happen again with its next run.",
			"[Derive keys](services.md) for the handler's calls.",
		},
		{
			"poison-in-a-transaction", "A bound on a request that kills its process in a single transaction. Nothing is left to count by, so it " +
				"is tried as often as its clients try.",
			"Use a [joined transaction](stores.md#two-shapes-of-a-transaction), which counts.",
		},
		{
			"ignored-context", "Protection from a handler that ignores its context. The context ends when the run was overtaken " +
				"(`AtLeastOnce`) or has taken longer than `MaxRun`. What the handler does after that can still take effect.",
			"Compare the fencing token of `onlyonce.RunFromContext` where the effect happens.",
		},
		{
			"wrong-statements", "Protection from a handler, recovery function or person who is wrong. `NotExecuted`, `DidNotHappen` and " +
				"`Resolve` are believed: after a wrong one the effect can happen twice.",
			"[Classify errors](errors.md) with care.",
		},
		{
			"beyond-the-retention", "Anything beyond the retention. A key that comes back after 24 hours (the default) is a new operation.",
			"Require [time-ordered keys](keys.md#time-ordered-keys), which do not run when they are old.",
		},
		{
			"lost-records", "More than the store keeps. memstore forgets everything with its process, and two replicas that use it do not see " +
				"each other's keys. Redis forgets what a failover or a restart had not yet replicated or written, and unsettled records after 30 " +
				"days.",
			"[Choose the store](stores.md#what-each-store-can-lose).",
		},
		{
			"no-key", "Calls without a key. They run unprotected.",
			"Set `Key: interceptor.KeyRequired`, or `key: KEY_USE_REQUIRED` in the `.proto`.",
		},
		{
			"streams", "Streams. They are never protected. A stream that has a key, or whose method requires one, is refused with " +
				"`IDEMPOTENCY_NOT_SUPPORTED`, and nothing runs. All other streams pass.",
			"Use a unary method for the effect.",
		},
		{
			"fail-open", "Anything about runs without protection (`FailOpen`). They leave no record.",
			"`FailOpen` is off by default.",
		},
		{
			"mysql-commits", "On MySQL and MariaDB: that a duplicate's answer survives, if it was read in the moment in which the database was " +
				"killed. They show a commit a moment before it is on disk.",
			"PostgreSQL and SQLite do not do this: see [stores.md](stores.md#sql).",
		},
	}
}

// caveats returns surprising facts.
func caveats() []limit {
	return slices.Concat(caveatsOfRequests(), caveatsOfServers())
}

func caveatsOfRequests() []limit {
	return []limit{
		{
			"definite-errors", "A definite error is an answer, and stays the answer of its key for the retention, even when its cause is gone.",
			"Mark it with `NotExecuted`, give the code another class, or keep it for " +
				"[less time](annotations.md#errors-that-are-kept-for-less-time).",
		},
		{
			"every-field", "Every field of a request counts. A client that writes the time or a fresh id into each attempt is rejected with " +
				"`IDEMPOTENCY_KEY_REUSED`, and so is a corrected order with the key of the wrong one.",
			"Mark the field as `ignored` in the `.proto`: [annotations.md](annotations.md#request-field-field).",
		},
		{
			"changed-messages", "During a rolling deployment of a changed request message, a retry may be rejected with " +
				"`IDEMPOTENCY_KEY_REUSED`, if the request has certain fields that the older build does not know. It never runs twice for that.",
			"[fingerprint.md](fingerprint.md#where-old-and-new-builds-agree) lists the cases.",
		},
		{
			"renames", "A new scope or a renamed method makes old records invisible. A retry across the change runs again.",
			"Change them when no retries are under way.",
		},
		{
			"client-retention", "Clients assume the default retention, 24 hours, until an answer or the `.proto` declares another.",
			"Set `WithRetention` on clients of servers that keep outcomes for less time.",
		},
		{
			"raised-retention", "A longer retention does not bring back expired records.",
			"Raise `KeyLife` [later than the retention](keys.md#raising-and-lowering-the-retention).",
		},
		{
			"unreleased", "Until the first version is released, the API and the form of records may change without notice.",
			"[CHANGELOG.md](../CHANGELOG.md) has what changes.",
		},
	}
}

func caveatsOfServers() []limit {
	return []limit{
		{
			"unknown-records", "A record whose outcome is unknown counts towards memstore's bounds, until it is settled or the store's unknown " +
				"retention is over.",
			"[Watch for unknown outcomes](operating.md), and have a `Recover`.",
		},
		{
			"background", "A settlement that the store has not acknowledged is tried again in the background, and is lost if the process ends " +
				"before.",
			"Call `Engine.Drain` before `GracefulStop`.",
		},
		{
			"drain", "After `Engine.Drain` an engine refuses all new calls.", "Make a new engine.",
		},
		{
			"attached", "`AtMostOnce` with runs that end with their caller (`Attached`) is refused: each caller that cancels would leave an " +
				"unknown outcome.",
			"Leave `Detachment` as it is.",
		},
		{
			"ranges", "Durations and counts of policies, limits and options have ranges. A value outside of its range is refused when the engine, " +
				"the server or the client is made.",
			"The error names the range.",
		},
		{
			"run-context", "A handler's context ends with `MaxRun`, and not with the caller's deadline. Calls that it makes with this context are " +
				"not cut short by the caller.",
			"`onlyonce.CallerDeadline` returns the caller's deadline.",
		},
		{
			"send-compressor", "`grpc.SetSendCompressor` does not work inside a keyed handler: gRPC looks for its own type of stream.",
			"Set the compressor in an interceptor in front of the kit.",
		},
		{
			"behind", "Interceptors behind the kit run once for each key, those in front of it on every call.",
			"[services.md](services.md#the-order-of-interceptors) has the order.",
		},
		{
			"scope-share", "One scope may use half of the bounds on waiters, on runs without callers and on records in memory.",
			"`Limits.ScopeShare` and `memstore.WithScopeShare` change that. Put a rate limit in front if callers are not trusted: " +
				"[security.md](security.md#floods).",
		},
		{
			"keys-in-records", "Keys are kept in records and events.", "`onlyonce.WithHiddenKeys` leaves them out.",
		},
		{
			"operations", "A first call costs two operations of the store, one before the handler and one after it. A replay costs one.",
			"[speed.md](speed.md) has figures.",
		},
		{
			"connection-held", "A single transaction holds a database connection while its handler runs, and on SQLite it runs alone.",
			"Use a joined transaction for handlers that take long.",
		},
	}
}
