// Package redisstore keeps onlyonce records in Redis, for services of several processes: on one server, behind Sentinel or in a Redis
// Cluster, from version 7.0 on.
//
//	records, err := redisstore.Open("redis://user:password@localhost:6379/0")
//	…
//	engine, err := onlyonce.New(records)
//	…
//	go func() {
//		if err := records.Run(ctx); err != nil { // finds the records of processes that died, until ctx ends
//			slog.Error("records of dead processes may be missing from lists", "error", err)
//		}
//	}()
//
// [Open] makes a client with suitable settings. [New] takes a client of the program.
//
// A record is one key: a string in a versioned binary form. Every operation is one atomic step on the server, decided on the server's
// clock. If a reply is lost and the operation is sent again, the server recognises its token. No command names more than one key, so every
// record has its own slot in a cluster, and slots may move at any time.
//
// The page docs/redis.md is for operators: settings of the server, access rights, memory, round trips, measured losses, failover times.
//
// # Guarantees and limits
//
// On one server that neither stops nor loses data, the store keeps the whole contract. Its limits are those of Redis:
//
//   - Replication is asynchronous. A failover loses what the old master acknowledged and had not yet replicated. If a claim is lost, a
//     retry may run a second time. If a completion is lost, the record is still running, and the guarantee decides.
//   - In a partition, the isolated master continues beside the new one, and the same call may run on both sides. Required replicas bound
//     this time: see min-replicas-to-write in docs/redis.md.
//   - A restart loses what was not yet persisted: nothing with appendfsync always, up to a second with everysec, and everything since the
//     last snapshot without an append-only file.
//   - Redis uses the wall clock of its machine. A step forward ends leases and retentions early. Outcomes then become unknown under
//     AtMostOnce, and under AtLeastOnce a run may be taken over while its owner works.
//   - A fence orders the runs of one record. If the record is lost, the next one begins at 1.
//   - Unsettled records live for [DefaultUnknownRetention], not for ever: see [WithUnknownRetention].
//   - The store bounds neither all records nor those of one caller. The bound is the server's maxmemory. A full server refuses new claims
//     with [store.ErrFull], before anything runs. Ended runs are still recorded.
//
// If a second run would do harm, such as move money, use a store with synchronous durability. Or deduplicate the effect where it happens,
// by a key that is derived from the call's key.
//
// # What a program must set
//
//   - A prefix for each service ([WithPrefix]), if several services share a server.
//   - A client of [Open], or one with [SetOptions], [SetClusterOptions] or [SetFailoverOptions]. Such a client leaves a demoted server, and
//     replaces all connections once one of them is found dead. Otherwise Check returns a warning.
//   - [Store.Run] in a goroutine of every process. Lists of unsettled records come from an index, which is written about 100 ms after a
//     claim and is not atomic with the records. If a process dies within this time, the record still protects its key, but no list has it.
//     Run finds such records. See [WithoutIndex].
//
// Do not change the expiry of a record by hand, and do not delete it. The store derives the times of a record from its expiry.
//
// # Check
//
// [Open] and [New] call [Store.Check], unless [WithoutCheck] is set. It refuses servers that would lose records, such as one with an
// eviction policy other than noeviction. Its [Report] also has warnings of settings that weaken the guarantees. Open and New drop them, so
// call Check at the start and log them.
//
// # Errors
//
// A failed write to the index fails no operation: the observer of [WithObserver] gets it. Any other error of the server is the error of the
// operation. Callers of the engine then see these reasons:
//
//   - No master answers: keyed calls get IDEMPOTENCY_STORE_UNAVAILABLE, and nothing runs.
//   - The master refuses writes (NOREPLICAS, MISCONF, READONLY): new calls get IDEMPOTENCY_STORE_UNAVAILABLE, and duplicates of completed
//     calls get their replay. Other duplicates get IDEMPOTENCY_STORE_UNAVAILABLE in place of IDEMPOTENCY_OUTCOME_UNKNOWN, because another
//     master may have the outcome. Running calls cannot renew their leases. Ended calls have the status "unrecorded", and the process keeps
//     trying to record their outcomes.
//   - The server is full: new calls get IDEMPOTENCY_STORE_FULL.
//
// A method with FailOpen runs new calls without protection in the first two cases.
package redisstore
