// Package onlyonce makes a call safe to retry: its effect happens once, and every recorded answer is the same for everyone.
//
// The package is the engine. It knows no transport: package interceptor puts it in front of gRPC handlers, [Engine.Do] puts it around any
// function. It needs a store, such as memstore for one process.
//
//	engine, err := onlyonce.New(memstore.New())
//	…
//	result, err := engine.Do(ctx, onlyonce.Call{Method: "pay", Key: orderID, Request: body}, pay)
//
// # The life of a key
//
// The identity of a call is its scope, its method and its key. There is at most one record per identity:
//
//	             claim                    complete
//	(absent) ───────────────► RUNNING ───────────────► COMPLETED ──retention──► (absent)
//	                         │   ▲  │ release: nothing happened
//	                lease    │   │  ├──────────────► RELEASED ── claim (fence+1) ──► RUNNING
//	                ended    │   │  │ hold: ambiguous
//	            UNKNOWN ◄────┘   │  └──────────────► UNKNOWN
//	              │  takeover under AtLeastOnce and ExactlyOnce: fence+1, new token
//	              ├── the same token completes or releases late, and nobody resolved ──► COMPLETED | RELEASED
//	              └── resolve ──► COMPLETED | RELEASED
//
// The end of a lease is not written. The record still has the state RUNNING, and its readers compare the lease with the store's clock. A
// record that is RUNNING or UNKNOWN lives for the store's unknown retention, which is configurable and longer than any retention. Every
// other record is kept for the retention that it was claimed with, whoever settled it. Only an error that a run has returned may have a
// retention of its own: [Policy].ErrorRetention.
//
// A call claims its key. The record decides what happens next:
//
//   - There is no record, or it is RELEASED: the call runs its handler and records the outcome.
//   - The outcome is recorded: the call gets it. This is a replay.
//   - Another call is running: the call waits a while and gets the same outcome.
//   - The request differs from the first one under the key: the call is rejected, in every state of the record.
//
// # Lease and authority
//
// A claim gives its owner a lease on the store's clock, 15 seconds by default. The engine renews it after a third of that time while the
// handler runs.
//
// The lease does not guard the record. The owner's authority to write is its token: every write carries it, and a write under another
// token changes nothing. The lease only bounds how long others wait for the owner. The guarantee of the policy decides what they may do
// after its end:
//
//   - [AtMostOnce], the default: nothing. The outcome is unknown until the owner comes back late or somebody resolves it.
//   - [AtLeastOnce]: the next duplicate takes over, with a new token and a higher fence, and runs again.
//   - [ExactlyOnce]: the next duplicate takes over as well, but an unfinished run has left nothing behind, because the handler's rows and
//     the record commit together.
//
// # Transactions
//
// Under ExactlyOnce the handler's rows and the record commit together. The policy has two ways:
//
//   - With a [SingleTransaction], the default, the handler gets the database transaction in which its key is claimed and its outcome
//     recorded. There is no lease: a crash leaves nothing behind, other processes wait for the transaction itself, and the retry runs at
//     once.
//   - With a [JoinedTransaction] the claim is leased as under other guarantees. The handler opens a transaction by itself, and writes the
//     completion as its last statement. Only the owner's token can write it: a run that was overtaken fails to, and rolls back.
//
// These rules hold for both:
//
//   - An answer is given only if the record shows that the transaction has committed. If a commit was not confirmed and nobody can find
//     out what became of it, the call is rejected with [ReasonLeaseLost]. A retry with the same key gets the outcome.
//   - A transaction that conflicted with another one is rolled back, and its handler runs again: three times at most, and within one
//     MaxRun.
//   - In a single transaction, a recorded error rolls back the writes of the handler, unless [KeepWrites] marks it.
//
// A record remembers the guarantee that it was claimed under. The stricter of that guarantee and the policy's holds: [AtMostOnce] before
// ExactlyOnce before [AtLeastOnce]. If a record was released under AtMostOnce and its joined run ends ambiguously, it is held as unknown.
// A run in a single transaction is under ExactlyOnce whatever guarantee its record has: a rollback leaves the record as it was, and the
// next duplicate runs again.
//
// # The trust window
//
// Store and owner do not share a clock, so the owner trusts its lease for less time than the store grants it. The trust window begins
// when the owner sends its claim or renewal, counts on the owner's monotonic clock, and is a tenth shorter than the lease.
//
//   - Where takeover is allowed, a run that has not renewed its lease within this window ends before the lease can have ended: its
//     context is cancelled with [ErrLeaseLost].
//   - Under AtMostOnce the run goes on: nobody may take over, and its end would only make its outcome unknown.
//   - A run is trusted to end with MaxRun, when its context is cancelled with [ErrMaxRun]. From one lease after that,
//     [store.Record].OwnerAliveUntil, a finding may state that the run did nothing.
//
// A run whose record is gone, or another's, ends with ErrLeaseLost under every guarantee.
//
// # The fence
//
// The fence of a record rises with every run, and whenever a lease that had ended is won back. A claim names the fence that it expects,
// so that a late copy of a losing claim cannot win after its caller has gone.
//
// A handler reads the fence with [RunFromContext], for resources that refuse an overtaken run. The reason is explained in
// https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html.
//
// # What an outcome means
//
// The class of an outcome decides what becomes of the key:
//
//   - Definite: the outcome is recorded and replayed.
//   - Not executed: the handler marked its error with [NotExecuted], and the key is released.
//   - Ambiguous: everything else, because even an error with the code UNAVAILABLE may come from a downstream call whose effect happened.
//     Under AtMostOnce the record is held as unknown, otherwise the key is released.
//
// A definite error that the handler has not marked is ambiguous while a call that the run made under a derived key is open. The handler
// may have translated the error of that call.
//
// A record whose outcome is unknown is settled by its late owner, by a [RecoverFunc], or by [Engine.Resolve]. The first one decides, and
// the others get its outcome.
//
// Once an earlier run of the key may have taken effect, a later NotExecuted no longer proves that nothing happened. The record is
// doubtful, and the caller gets [StatusUnknown].
//
// # Words for the unknown
//
// One word means one thing, in code, documentation, events and errors:
//
//   - The class of a run's outcome is definite, not executed or ambiguous: [Class].
//   - The state of a record is RUNNING, UNKNOWN, RELEASED or COMPLETED: store.State. A record is also unknown while it is RUNNING
//     under a lease that has ended: [Record].Unknown.
//   - The verdict for a caller is final, not executed or unknown: [Verdict]. It decides whether a new key may be used.
//   - The finding about a run is "happened", "did not happen" or "still unknown": [Finding].
//
// # Operating
//
// Events, logs and lists name a record by its storage key. [Engine.LookupID] reads a record, [Engine.ListUnknown] finds the records
// whose outcome is unknown, [Engine.Resolve] settles a record, and [Engine.Forget] removes it. An engine without an observer writes to
// slog.Default what an operator must know; see [WithObserver].
//
// # Transports
//
// A transport is what calls [Engine.Execute], such as package interceptor. Only transports need [Engine.Execute], [Reply], [Outcome],
// [Class], [MarkedClass], [KeepsWrites], [Unmarked], [Engine.Refused], [Engine.Policy], [Engine.CanResolve], [DeriveCall] and
// [SchemeBytes]. Handlers, clients and operators need none of them.
//
// # Glossary
//
//   - key: the name that a client gives an operation; one per logical call, the same on every attempt. For HTTP see
//     https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
//   - scope: the owner of a key, such as a tenant. Callers in different scopes never meet.
//   - identity: scope, method and key of a call.
//   - duplicate: a call with the identity of an earlier one.
//   - fingerprint: a digest of the request, to notice another request under the same key.
//   - record: the entry of an identity in the store.
//   - derived key: the key of a call that a run makes, derived from the run's own key; see [DeriveCall] and docs/derived-keys.md.
//   - step: a name that distinguishes the calls of a run; see [WithStep].
//   - time-ordered key: a key that contains the time at which it was made, and does not run when it is old; see [Call].TimeOrdered.
//   - run: one execution of the handler, under a claim that has won.
//   - claim: a request to the store for the right to run.
//   - withdraw: to release a claim of which nobody knows whether it has arrived.
//   - key life: how old a time-ordered key may be that still makes a record; see [Policy].KeyLife.
//   - unknown retention: how long a store keeps a record that nobody settles; see store.Capabilities.
//   - owner: the call whose claim has won, until its run is settled or overtaken.
//   - token: 128 random bits that name the owner. Not the fencing token, which is the fence.
//   - lease: the time for which others have to assume that the owner is alive, unless it renews.
//   - fence, or fencing token: a number that rises with every run of a key and never goes back; see [RunFromContext].
//   - takeover: a run that begins because the lease of the run before has ended.
//   - attempt: for a client, sending a call once; for a record, one of the runs that began since it was made or last released.
//   - outcome: how a run ended. Duplicates get the recorded outcome.
//   - replay: the answer to a call with a recorded outcome.
//   - retention: how long an outcome, or a released key, is kept.
//   - release: to free a key, so that the next claim wins it.
//   - hold: to mark the outcome of a run as unknown.
//   - conflict: the database has rolled a transaction back because of another one.
//   - settle: to bring a record to an end, by its owner or by [Engine.Resolve].
//   - recover: to find out what became of a run whose outcome is unknown.
//   - finding: the result of a recovery, or of an operator's search.
//   - verdict: whether a caller may try with a new key.
//   - forget: to remove a record by hand.
//   - doubtful: an earlier run of the record may have had its effect.
//   - detached: the run goes on when its caller has gone.
package onlyonce
