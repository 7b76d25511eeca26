// Package redisstore keeps onlyonce records in Redis, for services of several processes: on one server, behind Sentinel or in a Redis
// Cluster, from version 7.0 on.
//
//	records, err := redisstore.Open("redis://user:password@localhost:6379/0")
//	…
//	engine, err := onlyonce.New(records)
//
// [Open] makes a client with suitable settings. [New] takes a client of the program.
//
// # How it works
//
// A record is one key: a string in a versioned binary form. Its name is the prefix and the 32 bytes of the storage key. Every operation is
// one atomic step on the server, decided on the server's clock. If a reply is lost and the operation is sent again, the server recognises
// its token.
//
// The client makes the bytes, and the server compares and sets them:
//
//   - A first claim is SET with NX and GET, and PEXPIRETIME, in one round trip. The times of the record follow from its expiry, so they are
//     the server's. A completed record in its place is the replay.
//   - A completion replaces the bytes of the record, which the owner knows. It is SET with IFEQ if [Store.Check] found that the servers
//     have IFEQ (Valkey from 8.1, Redis from 8.4), otherwise a script of three lines.
//   - Every other operation is a script that reads the record: renewals, releases, holds, duplicates of a running call, takeovers, and
//     claims and completions that find other bytes than they expect.
//
// An execution takes two round trips. A replay or a reused key takes one. A duplicate of a call that runs in another process takes two. The
// owner knows the bytes from its receipt: see Receipt of [store.Result]. A completion without a receipt is a script.
//
// The note of a claim is at the end of the record, where the outcome replaces it later. It costs no round trip. But every renewal returns
// it, and the completion sends it again. So use large notes only for methods that need them.
//
// Duplicates in other processes poll. The duplicates of one process share one poll.
//
// No command names more than one key. In a cluster every record has its own slot, and moving slots disturb no operation.
//
// Concurrent operations share round trips. Operations that arrive while a batch is under way to a server wait for its answer, and then go
// together. A single caller is never delayed. See [WithoutBatching]. Operations do not wait, or do not go together, in these cases:
//
//   - On a slow network, another batch starts when 8 operations wait, up to 4 batches. A network is slow if a round trip takes at least a
//     millisecond, and at least a tenth of a millisecond per operation.
//   - A batch without an answer after 25 ms no longer delays the next one, which takes another connection.
//   - An operation of 16 KiB or more goes alone. After an answer of this size, claims and lookups go alone until 100 small answers have
//     come. So small answers do not wait behind large outcomes. After a batch without answers in time, the next 16 go alone. Give the
//     client enough connections for concurrent large answers.
//
// The size of an answer is not known in advance, so a small claim can still share the first batch with large answers. Measured with 16
// callers that repeat a replay of 1 MiB over a link of 10 MB/s, and a timeout of 500 ms: 2 of 60 small claims failed. None failed after the
// first large answer. At 20 MB/s and more, at most one failed.
//
// [Store.Forget] takes three round trips. The client decides on the bytes of the record, and the server removes the record if it still has
// these bytes. The entry in the index is removed last, unless a new run has replaced it.
//
// # The index
//
// [Store.ListUnknown] does not read every key. 16 sorted sets hold the unsettled records. Their names are "index:0" to "index:f" behind the
// prefix. The score is the time from which the outcome is unknown: the end of the lease, or the time of the hold. [Store.ListRunning] reads
// the whole sets. See [WithoutIndex].
//
// The index does not delay calls, and is not atomic with the records:
//
//   - The entry of a run is written about 100 ms after its claim, together with others. If the run has ended by then, no entry is written.
//     A hold or a renewal writes it at once.
//   - A failed write of an entry fails no operation. The store tries again for a minute and reports the failure to its observer. At most
//     4096 entries wait per set. Entries beyond that are dropped and reported, and Run finds their records. Each set has its own queue, so
//     a failing server delays only its own sets.
//   - A list reads the entries whose time has come, and then their records. It takes one round trip if nothing is unknown. It yields no
//     settled record, and removes the entries of settled records. If a server of a cluster is down, the list yields the records of the
//     others and then one error.
//   - An entry may outlive its record. The run's own process removes it, or a list, or an hourly check: each process that writes entries
//     reads the records of entries older than the unknown retention. The entry of an unsettled record is never removed.
//   - If a process dies within 100 ms of a claim, the claim is missing from the index and from lists. The record itself still protects its
//     key. [Store.Run] and [Store.Sweep] find it.
//   - If another type is stored under the name of an index, calls work, and lists return an error. Remove the key and call [Store.Sweep].
//
// Run reads all keys slowly with SCAN, one process at a time. A process continues where another one stopped, unless the server was
// restarted or replaced since: then the sweep begins again. Sweep reads all keys at once. A key costs the server about 3 µs: 5 million keys
// cost 14 s of its time, which Run spreads over 20 minutes. The masters of a cluster are swept side by side. A record whose slot moves to a
// master that was already swept may be missed until the next sweep, an hour later.
//
// # The expiry of a record
//
// Do not change the expiry of a record by hand. The store derives times from it. For a record that is unchanged since its first claim,
// these are its start, its lease and the time up to which its owner may be alive. For a completed record it is the time of completion.
// EXPIRE moves these times as far as it moves the expiry. If the expiry becomes an hour earlier, the lease also ends an hour earlier, and a
// run may be taken over while its owner works.
//
//   - MIGRATE moves slots and copies keys with the remaining time. The times then move by the duration of the transfer, mostly less than a
//     millisecond.
//   - DUMP and RESTORE move them by the time in between, unless RESTORE has ABSTTL and the value of PEXPIRETIME.
//   - Snapshots, append-only files and replicas keep the expiry.
//   - PERSIST makes a record unreadable that is unchanged since its first claim. The owner's completion restores the expiry. A record that
//     was completed before PERSIST is replayed for ever, and the time of its completion is unknown.
//
// # Guarantees and limits
//
// On one server that neither stops nor loses data, the store keeps the whole contract. Its limits are those of Redis:
//
//   - Replication is asynchronous. A failover loses what the old master acknowledged and had not yet replicated. If a claim is lost, a
//     retry may run a second time. If a completion is lost, the record is still running, and the guarantee decides. The owner of a lost
//     claim cannot renew or end its run: the observer gets an event, and the caller gets the outcome of the other run, if there is one.
//     Required replicas bound the loss: see below. Measured losses of claims that were acknowledged between the cut of the replication link
//     and the kill of the master: all of them, 60 of 60 in the tests and 17,361 in 300 ms of full load. Replicated claims: none. The
//     minority side of a partition: 128,936 in three seconds.
//   - While a master is missing, keyed calls are refused with STORE_UNAVAILABLE, and nothing runs. Measured: Sentinel with
//     down-after-milliseconds of 1000 agreed on a new master 2.2 to 2.3 s after the kill. A cluster with a node timeout of 1.5 s promoted a
//     replica after 2.5 to 3.4 s, and claims worked 0.2 to 0.6 s later.
//   - A restart loses what was not yet persisted. With appendfsync everysec this is up to a second, without an append-only file everything
//     since the last snapshot. With appendfsync always it is nothing.
//   - Redis uses the wall clock of its machine. A step forward ends leases and retentions early. Outcomes then become unknown under
//     AtMostOnce, and under AtLeastOnce a run may be taken over while its owner works. Let the clock be slewed. A failover or the move of a
//     slot changes to the clock of another machine, so keep the clocks of all servers together.
//   - A fence orders the runs of one record. If the record is lost, the next one begins at 1.
//   - Unsettled records live for [DefaultUnknownRetention], not for ever: see [WithUnknownRetention].
//   - The store bounds neither all records nor those of one caller. The bound is the server's maxmemory.
//   - Under an eviction policy other than noeviction, a full server drops the records of running calls. [Store.Check] refuses such a
//     server. Under noeviction a full server refuses new claims with [store.ErrFull], before anything runs. Ended runs are still recorded,
//     because the scripts that end a run may exceed maxmemory.
//
// If a second run would do harm, such as move money, use a store with synchronous durability. Or deduplicate the effect where it happens,
// by a key that is derived from the call's key.
//
// # Required replicas
//
// In a partition, an isolated master continues beside the new one. The same call can run on both sides, and the end of the partition
// removes what the isolated master recorded. With these settings a master without replicas refuses all writes:
//
//	min-replicas-to-write 1
//	min-replicas-max-lag 2
//
// An isolated master still grants claims for the two seconds of the lag. Make Sentinel's down-after-milliseconds, or the cluster's
// cluster-node-timeout, longer than the lag. The isolated master then refuses writes before there is another master. Have at least two
// replicas: with only one, the new master has no replica and refuses writes too.
//
// A master refuses writes for want of replicas (NOREPLICAS), after a failed write to its disk (MISCONF), or as a replica (READONLY).
// Meanwhile:
//   - New calls are refused with STORE_UNAVAILABLE, and nothing runs. A method with FailOpen runs them without protection.
//   - Duplicates of completed calls get their replay. Other duplicates get STORE_UNAVAILABLE in place of OUTCOME_UNKNOWN, because another
//     master may have the outcome. A later try finds the master.
//   - Running calls cannot renew their leases. If takeover is allowed, the context of the handler is cancelled before the lease ends. Under
//     AtMostOnce the handler continues.
//   - Ended calls are answered with the status "unrecorded". The process keeps trying to record the outcome until writes are accepted
//     again. If the process ends first, the guarantee decides after the lease, as after a crash: the outcome is unknown under AtMostOnce,
//     and the call may run again under AtLeastOnce.
//   - [Store.Check] returns an error with the reason.
//
// # Connections
//
// A client of [Open] leaves a demoted server, and replaces all connections once one of them is found dead. A client for [New] does so only
// with [SetOptions], [SetClusterOptions] or [SetFailoverOptions]. Otherwise Check returns a warning.
//   - If a server refuses writes, all connections to its address are replaced, at most once a second. The address may lead to a new master
//     by now. "ERR READONLY", which some proxies write in place of "READONLY", is understood. As long as the address leads to the demoted
//     server, replays, KEY_REUSED, Lookup and ListUnknown come from its records, and Resolve and Forget fail.
//   - If an answer does not come, the connections that have received nothing since are replaced. If a network silently drops all
//     connections, only the operations under way fail, not one operation per connection.
//   - A connection is used for ten minutes.
//
// # Clusters
//
// Slots can move to other servers at any time. Every command names one key, so the client follows a record or an index that moved (ASK,
// MOVED). No command waits for the end of a migration (TRYAGAIN). A test moves slots of records and indexes under load.
//
// # Access
//
// A user of the servers' access control list needs these rights, for a prefix of "onlyonce:":
//
//	~onlyonce:* +evalsha +eval +get +set +del +pexpiretime +time +zadd +zrem +zscore +zrange +scan +getrange +info
//
// The server also checks the commands that scripts call. For another database than 0 add
//
//	+select
//
// and in a cluster
//
//	+cluster|slots +cluster|info +asking +command
//
// The right +asking is for slots that move. Without it, operations on their records fail during the move. Behind Sentinel the user also
// needs the rights that the sentinels' own list requires.
//
// A test runs with exactly these rights, also while slots move, and with any fewer rights a command is refused. Without +command the client
// works and logs an error. Without +info use [WithoutCheck].
//
// # Other servers
//
// Valkey speaks the same protocol. The page docs/tested.md lists the tested versions. A proxy must execute the commands of a pipeline on
// one key in their order: a claim and a completion are two commands, and the second one reads a time.
package redisstore
