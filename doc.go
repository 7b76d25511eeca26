// Package onlyonce makes a call safe to retry: its effect happens once, and every duplicate gets the recorded answer.
//
//	engine, err := onlyonce.New(memstore.New())
//	…
//	result, err := engine.Do(ctx, onlyonce.Call{Method: "pay", Key: "order-1", Request: body}, pay)
//
// The first call with the key runs pay and records the result. A duplicate gets that result, and pay does not run again. The example of
// the package is a whole program.
//
// The package is the engine. It knows no transport: [Engine.Do] protects any function, package interceptor protects gRPC methods, package
// oncehttp protects HTTP handlers. The engine needs a store: memstore for one process, redisstore or sqlstore for several.
//
// # The life of a key
//
// Scope, method and key identify a call. The store has at most one record per identity:
//
//	             claim                complete
//	(absent) ───────────► RUNNING ──────────────► COMPLETED
//	                       │ ▲ ▲
//	                       │ │ │      release
//	                       ├─│─│────────────────► RELEASED
//	                       │ │ │   claim, fence+1    │
//	                       │ │ └─────────────────────┘
//	      lease ended, or  │ │ takeover of an ended lease,
//	      hold: ambiguous  │ │ not under AtMostOnce: fence+1
//	                       ▼ │
//	                     UNKNOWN ───────────────► COMPLETED or RELEASED
//	                               late owner, or resolve
//
// A claim reads the record, and the record decides what the call does:
//
//   - There is no record, or it is RELEASED: the call runs its handler and records the outcome.
//   - It is COMPLETED: the call gets the recorded outcome. This is a replay.
//   - It is RUNNING: the call waits for the outcome, for [Policy].MaxWait at most.
//   - It is UNKNOWN: the call is rejected, or takes the key over and runs again. The guarantee decides.
//   - The request differs from the first one under the key: the call is rejected, in every state.
//
// A COMPLETED or RELEASED record expires after the retention of its claim, whoever has settled the record. Only an error that a run has
// returned may expire earlier: see [Policy].ErrorRetention. RUNNING and UNKNOWN records live for the unknown retention of the store, which
// is never shorter than the retention of a policy.
//
// # Lease, token and fence
//
// A claim gives its owner a lease on the store's clock, 15 seconds by default. The engine renews it after a third of that time while the
// handler runs. Nothing is written when a lease ends: the record is still RUNNING, and readers compare the end of the lease with the
// store's clock.
//
// The lease does not guard the record. The token of the owner does: every write carries it, and a write under another token changes
// nothing. The lease only bounds how long others wait for the owner. The guarantee decides what they may do after its end:
//
//   - [AtMostOnce], the default: nothing. The outcome is unknown until the owner comes back late or somebody resolves it.
//   - [AtLeastOnce]: the next duplicate takes over, with a new token and a higher fence, and runs again.
//   - [ExactlyOnce]: the next duplicate takes over as well. The unfinished run has left nothing behind, because the handler's rows and the
//     record commit together.
//
// The fence rises with every run. It also rises when an owner gets its lease back after the end of the lease. A claim names the fence that
// it expects, and wins only if the record has this fence. So a claim that has lost cannot win later by a late copy. A handler reads the
// fence with [RunFromContext], for resources that refuse an overtaken run. See
// https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html for the reason.
//
// # When a run is cancelled
//
// Store and owner do not share a clock, so the owner trusts its lease for less time than the store grants. The trust window begins when the
// claim or the renewal is sent. It counts on the owner's monotonic clock, and is a tenth shorter than the lease.
//
//   - Where takeover is allowed, a run that cannot renew its lease within the window is cancelled with [ErrLeaseLost].
//   - Under AtMostOnce such a run goes on: nobody may take over, and cancelling it would only make its outcome unknown.
//   - A run whose record is gone, or belongs to another run, is cancelled with ErrLeaseLost under every guarantee.
//   - Every run is cancelled with [ErrMaxRun] after [Policy].MaxRun, and must end then. One lease later is store.Record.OwnerAliveUntil.
//     The finding [DidNotHappen] counts only if the record was read after that time.
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
// A handler may make protected calls to other services. While such a call is under way or its outcome is unknown, an error that the handler
// has not marked is ambiguous. It may be the translated error of that call.
//
// An unknown outcome is settled by the late owner, by a [RecoverFunc], or by [Engine.Resolve]. The first one decides, and the others get
// its outcome.
//
// A record is doubtful once an earlier run of the key may have taken effect. A later NotExecuted then no longer proves that nothing
// happened, and its caller gets [StatusUnknown].
//
// # Transactions
//
// Under ExactlyOnce the handler's rows and the record commit together, in one of two ways:
//
//   - In a [SingleTransaction], the default, the handler gets the transaction in which its key is claimed and its outcome recorded. There
//     is no lease. A crash leaves nothing behind, other processes wait for the transaction itself, and the retry runs at once.
//   - For a [JoinedTransaction] the key is leased, and the handler opens a transaction by itself. Its last statement writes the completion.
//     Only the owner's token can write it, so an overtaken run fails to, and rolls back.
//
// The end of the handler decides what is left of its writes, and what is recorded:
//
//	the handler returns        single transaction                 joined transaction
//	a response                 writes and record commit           writes and record commit
//	a definite error           writes roll back, error recorded   writes roll back, then error recorded
//	the same, with KeepWrites  writes and error commit            writes and error commit
//	a NotExecuted error        writes roll back, key released     writes roll back, key released
//	an ambiguous error         all rolls back, nothing recorded   writes roll back, key released, doubtful
//	nothing: the process dies  all rolls back, nothing recorded   writes roll back, takeover after the lease
//
// [KeepWrites] and [NotExecuted] mark errors. The column for a joined transaction is that of sqlstore.InTx. These rules hold for both:
//
//   - The caller gets the answer only if the record shows that the transaction has committed. If the engine cannot find out whether it has,
//     the call is rejected with [ReasonLeaseLost]. A retry with the same key gets the outcome.
//   - A transaction that conflicts with another one is rolled back, and its handler runs again: three times at most, and within one MaxRun.
//
// A record remembers the guarantee that it was claimed under. The stricter of that guarantee and the policy's holds: AtMostOnce before
// ExactlyOnce before AtLeastOnce. So a joined run that ends ambiguously is held as unknown if its record was claimed under AtMostOnce
// before. A run in a single transaction is under ExactlyOnce whatever guarantee its record has: a rollback leaves the record as it was.
//
// # Operating
//
// Events, logs and lists name a record by its storage key. [Engine.LookupID] reads a record, [Engine.ListUnknown] lists the records whose
// outcome is unknown, [Engine.Resolve] settles a record, and [Engine.Forget] removes it. An engine without an observer writes to
// slog.Default what an operator must know; see [WithObserver].
//
// # Transports
//
// A transport calls [Engine.Execute]: package interceptor is one. Only transports need [Engine.Execute], [Reply], [Outcome], [BodyRoom],
// [Class], [MarkedClass], [KeepsWrites], [Unmarked], [Engine.Refused], [Engine.Policy], [Engine.Prepare], [Engine.CanResolve],
// [Engine.AddRecoveries], [Engine.Shadow], [Engine.ReportShadowMode], [PanickedOutcome], [DeriveCall], [BeginCall] and [SchemeBytes].
//
// # Glossary
//
// Calls:
//
//   - key: the name that a client gives an operation, the same on every attempt. For HTTP see
//     https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
//   - scope: the owner of a key, such as a tenant. Callers in different scopes never meet.
//   - duplicate: a call with the identity of an earlier one.
//   - fingerprint: a digest of the request, to notice another request under the same key.
//   - attempt: for a client, one sending of a call; for a record, one of the runs since the record was made or last released.
//   - time-ordered key: a key that contains the time at which it was made. An old one makes no record; see [Call].TimeOrdered.
//   - key life: how old a time-ordered key may be that still makes a record; see [Policy].KeyLife.
//   - derived key: the key of a call that a run makes, derived from the run's own key; see [DeriveCall] and docs/derived-keys.md.
//   - step: a name that distinguishes the calls of a run; see [WithStep].
//
// Runs:
//
//   - claim: a request to the store for the right to run. If the engine does not know whether a claim has arrived, it withdraws the claim:
//     it releases the claim, so that a late copy cannot win.
//   - run: one execution of the handler, under a claim that has won.
//   - owner: the call whose claim has won, until its run is settled or overtaken.
//   - token: 128 random bits that name the owner. The fencing token is another thing: the fence.
//   - lease: the time for which others assume that the owner is alive.
//   - fence, or fencing token: a number that rises with every run of a key and never goes back.
//   - takeover: a run that begins because the lease of the run before has ended.
//   - detached: the run goes on when its caller has gone.
//   - conflict: the database has rolled a transaction back because of another one.
//
// Outcomes:
//
//   - outcome: how a run ended. A replay is the answer to a duplicate from the recorded outcome.
//   - class: whether an outcome is definite, not executed or ambiguous; see [Class].
//   - state: whether a record is RUNNING, UNKNOWN, RELEASED or COMPLETED. A record is also unknown while it is RUNNING under a lease that
//     has ended; see [Record].Unknown.
//   - doubtful: a record is doubtful once an earlier run of the key may have taken effect.
//   - verdict: whether the answer to a caller is final, not executed or unknown, and so whether a new key may be used; see [Verdict].
//   - finding: what became of a run: "happened", "did not happen" or "still unknown"; see [Finding].
//   - retention: how long an outcome, or a released key, is kept. The unknown retention is how long a store keeps a record that nobody
//     settles; see store.Capabilities.
//   - settle: to bring a record to an end: complete or release it.
//   - release: to free a key, so that the next claim wins it.
//   - hold: to mark the outcome of a run as unknown.
//   - recover: to find out what became of a run whose outcome is unknown.
//   - forget: to remove a record by hand.
package onlyonce
