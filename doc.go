// Package onlyonce makes a call safe to retry: its effect happens once, and every recorded answer is the same for
// everyone.
//
// The package is the engine. It knows no transport: package interceptor puts it in front of gRPC handlers, [Engine.Do]
// puts it around any function. It needs a store, such as memstore for one process.
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
// The end of a lease is not written: the record still says RUNNING, and whoever reads it compares the lease with the store's
// clock. A record that is RUNNING or UNKNOWN has no retention and does not expire.
//
// A call claims its key. If nobody has it, the call runs its handler and records the outcome. If the outcome is recorded,
// the call gets it: a replay. If somebody is running, the call waits a while and gets the same outcome. If the request
// differs from the first one under the key, the call is rejected, whatever has become of the first.
//
// # Lease and authority
//
// A claim gives its owner a lease on the store's clock, 15 seconds by default, renewed at a third while the handler runs.
// The lease does not guard the record: the owner's authority to write is its token, which every write carries, and a write
// under another token changes nothing. The lease only says when others may stop waiting for the owner. What they may then do
// is the guarantee of the policy:
//
//   - [AtMostOnce], the default: nothing. The outcome is unknown until the owner comes back late or somebody resolves it.
//   - [AtLeastOnce]: the next duplicate takes over, with a new token and a higher fence, and runs again.
//   - [ExactlyOnce]: it takes over as well, but an unfinished run has left nothing behind, because the handler's rows and
//     the record commit together.
//
// # Transactions
//
// Under ExactlyOnce the policy says how rows and record come to commit together. With a [SingleTransaction], the default, the
// handler is given the database transaction in which its key is claimed and its outcome recorded. There is no lease: a crash leaves
// nothing behind, other processes wait for the transaction itself, and the retry runs at once. With a [JoinedTransaction]
// the claim is leased like any other, and the handler writes the completion, which only its own token can, as the last statement of a
// transaction that it opens by itself. A run that was overtaken cannot write it, and rolls back.
//
// An answer is given only if the record says that the transaction has committed. Where a commit was not confirmed and nobody can
// find out what became of it, the call is rejected with [ReasonLeaseLost]: the same key will tell. A transaction that conflicted
// with another one is rolled back, and its handler is run again, three times at most and within one MaxRun. In a single
// transaction an error that is recorded rolls back what the handler has written, unless [KeepWrites] marks it.
//
// A record remembers the guarantee that it was claimed under, and the stricter of that and the policy's holds: [AtMostOnce] before
// ExactlyOnce before [AtLeastOnce]. A joined run of a record that was released under AtMostOnce is held as unknown if it ends
// ambiguously. A run in a single transaction is under ExactlyOnce whatever its record says, because a rollback leaves that as it was:
// the next duplicate runs again.
//
// # The trust window
//
// Store and owner do not share a clock, so the owner trusts its lease for less time than the store grants it: from before it
// asked for the lease, on its own monotonic clock, and a tenth of a lease less. Where takeover is allowed, a run that has not
// renewed its lease within this window ends itself, before the lease can have ended: its context is cancelled with
// [ErrLeaseLost]. Under AtMostOnce it goes on, because nobody may take over and ending it would only make its outcome
// unknown. A run is trusted to end with MaxRun, when its context is cancelled with [ErrMaxRun]; one lease after that, and not
// before, anybody may say that it did nothing ([store.Record].OwnerAliveUntil).
//
// A run that is told by the store that its record is gone, or another's, ends with ErrLeaseLost under every guarantee.
//
// # The fence
//
// The fence of a record rises with every run, and whenever a lease that had ended is won back. A claim names the fence that
// it expects, so that a late copy of a losing claim cannot win after its caller has gone. A handler reads it with
// [RunFromContext], for resources that refuse an overtaken run; why they have to, says
// https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html.
//
// # What an outcome means
//
// A definite outcome is recorded and replayed. One that the handler marked with [NotExecuted] releases the key. All else
// is ambiguous, because even an error that says "unavailable" may come from a downstream call whose effect happened:
// under AtMostOnce the record is held as unknown, otherwise the key is released.
//
// A record whose outcome is unknown is settled by its late owner, by a [RecoverFunc], or by [Engine.Resolve], whoever comes
// first; the others then get that. Once a run of a record may have had its effect, a later run that says NotExecuted speaks
// for itself alone: the record is doubtful, and its caller is told "unknown".
//
// # Glossary
//
//   - key: what a client calls an operation by; one per logical call, the same on every attempt. For HTTP see
//     https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
//   - scope: whose key it is. Callers in different scopes never meet.
//   - identity: scope, method and key of a call.
//   - duplicate: a call with the identity of an earlier one.
//   - fingerprint: a digest of the request, to notice another request under the same key.
//   - record: what the store keeps of an identity.
//   - derived key: the key of a call that a run makes, made of the run's own; see [DeriveCall] and docs/derived-keys.md.
//   - step: a name that tells the calls of a run apart; see [WithStep].
//   - time-ordered key: one that says when it was made, and does not run when it is old; see [Call].TimeOrdered.
//   - run: one execution of the handler, under a claim that has won.
//   - claim: asking the store for the right to run.
//   - withdraw: to release a claim of which nobody knows whether it has arrived.
//   - owner: the call whose claim has won, until its run is settled or overtaken.
//   - token: 128 random bits that name the owner. Not the fencing token, which is the fence.
//   - lease: how long others have to take the owner for alive, unless it renews.
//   - fence, or fencing token: a number that rises with every run of a key and never goes back; see [RunFromContext].
//   - takeover: a run that begins because the lease of the run before has ended.
//   - attempt: for a client, sending a call once; for a record, one of the runs that began since it was made or last released.
//   - outcome: how a run ended; recorded, it is what duplicates get.
//   - replay: answering a call with a recorded outcome.
//   - retention: how long an outcome, or a released key, is kept.
//   - release: to give a key back, so that the next claim wins it.
//   - hold: to mark the outcome of a run as unknown.
//   - conflict: of a transaction, that the database has rolled it back because of another one.
//   - settle: to bring a record to an end, by its owner or by [Engine.Resolve].
//   - recover: to find out what became of a run whose outcome is unknown.
//   - doubtful: of a record, that an earlier run of it may have had its effect.
//   - detached: of a run, that it goes on when its caller has gone.
package onlyonce
