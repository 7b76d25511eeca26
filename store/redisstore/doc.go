// Package redisstore keeps onlyonce records in Redis, for services of more than one process: on one server, behind Sentinel
// or in a Redis Cluster, from version 7.0 on.
//
//	records, err := redisstore.Open("redis://user:password@localhost:6379/0")
//	…
//	engine, err := onlyonce.New(records)
//
// [Open] makes a client with sensible settings. [New] takes a client of the program.
//
// # How it works
//
// One record is one key: a string in a versioned binary form. Its name is the prefix and the 32 bytes of the engine's key. Every operation
// is one atomic step on the server, decided on the server's clock. If a reply is lost and the operation is sent again, the server
// recognises its token.
//
// The client makes the bytes, and the server compares and sets:
//
//   - A first claim is SET with NX and GET, and PEXPIRETIME, in one round trip. The record starts its life before it expires, so its times
//     are the server's. A completed record in its place is the replay.
//   - A completion replaces the bytes that the owner knows: SET with IFEQ where [Store.Check] has found that the servers have it (Valkey
//     from 8.1 on, Redis from 8.4 on), and a script of three lines elsewhere. The record ended its retention before it expires.
//   - Every other operation is a script that reads the record: renewals, releases, holds, duplicates of a running call, takeovers, and a
//     claim or a completion that finds other bytes than it expects.
//
// An execution takes two round trips. A replay or a reused key takes one, and a duplicate of a call that runs in another process two. The
// owner knows the bytes by its receipt: see Receipt of [store.Result]. A completion without a receipt is a script.
//
// The note of a claim is stored where the outcome goes later, at the end of the record, and costs no round trip. Each renewal returns it,
// and a completion with IFEQ or by the script of three lines sends it again, so keep large notes for the methods that need them.
//
// Duplicates in other processes poll. Those of one process share one poll, whatever their number.
//
// No command names more than one key. In a cluster every record has a slot of its own, and moving slots disturb no operation.
//
// Concurrent operations share round trips: operations that come while a batch is under way to a server wait, and go together. A single
// caller is never delayed. See [WithoutBatching]. One batch is under way at a time, with these exceptions:
//
//   - On a slow network, where a round trip takes a millisecond and a tenth of one per operation, another batch starts when 8 operations
//     wait. Four are under way at most.
//   - A batch without an answer after 25 ms does not hold up the next one, which takes another connection.
//   - An operation of 16 KiB or more goes alone. After an answer of that size the claims and lookups that follow go alone, until 100 small
//     answers have come, so that no small one waits behind a large outcome. After a batch without answers in time the next 16 go alone.
//     Give the client enough connections for the large answers that are under way at once.
//
// The size of an answer is unknown beforehand, so a small claim can still share the first batch that has large answers. Measured on a
// link of 10 MB/s, with 16 callers that repeat a replay of 1 MiB and a timeout of 500 ms: 2 of 60 small claims failed. None failed once a
// large answer had come, and at most one from 20 MB/s on.
//
// [Store.Forget] takes three round trips: the client decides on the bytes of the record, the server removes the record if it still has
// these bytes, and the entry in the index goes after it, unless a new run has another one by then.
//
// # The index
//
// [Store.ListUnknown] does not read every key: 16 sorted sets, named "index:0" to "index:f" behind the prefix, hold the records that are
// not settled. The score is the time from which their outcome is unknown: the end of the lease, or the time of the hold. See
// [WithoutIndex]. [Store.ListRunning] reads the same sets as a whole.
//
// The index does not delay calls, and it is not atomic with the records:
//
//   - The entry of a run is written about 100 ms after its claim, together with those of other runs, and never if the run is over by then.
//     A hold and a renewal write it at once. A failure to write it is no failure of the operation; it is tried again for a minute, and the
//     observer sees it. If 4096 entries of a set wait, others are dropped, and the observer sees how many: Run finds their records.
//     Each set is written for itself, so a server that fails holds up no set but its own.
//   - A list reads the entries whose time has come, in one round trip if nothing is unknown, and then their records. It lists no record
//     that is settled, and removes the entries of such records. If a server of a cluster is down, the list yields what the others have,
//     and then one error.
//   - An entry has a life of its own, and may outlive its record. The run's own process removes it, or a list, or any process that writes
//     entries: once an hour it reads the records of the entries that are older than the unknown retention. Nothing removes the entry of a
//     record that lives and is not settled.
//   - If a process dies within these 100 ms, its claim is in no index and is not listed. The record stays as it is and protects its key.
//     [Store.Run] finds it: Run reads all keys slowly, with SCAN, one process at a time, and continues where another process has stopped,
//     unless the server has restarted or a failover has replaced it since: then it begins again.
//     [Store.Sweep] reads them at once. A key costs the server about 3 µs, so 5 million keys cost 14 s of its time, which Run spreads over
//     20 minutes. Masters of a cluster are swept side by side, each for itself. If a slot moves from a master that is not yet swept to one
//     that is, its records may be missed until the next sweep, an hour later.
//   - If another type is stored under the name of an index, calls work, and lists report it. Remove it, and call [Store.Sweep].
//
// # The expiry of a record
//
// Do not change the expiry of a record by hand. The store derives times from it: start, lease and the time up to which the owner may be
// alive, while a record is fresh from its claim, and the end of a completed record. EXPIRE moves them by as much as it moves the expiry. An
// expiry that is an hour earlier lets the lease end an hour earlier, so that a run may be taken over while its owner is at work.
//
// MIGRATE, which moves slots and copies keys to another server, sends the time that is left. These times then move by as much as the
// transfer takes, mostly less than a millisecond. DUMP and RESTORE move them by the time in between, unless RESTORE has ABSTTL and the
// value of PEXPIRETIME. Snapshots, append-only files and replicas keep the expiry as it is.
//
// PERSIST makes a record unreadable while it is fresh from its claim. The record gets its expiry back when its owner completes it. A record
// that was completed before PERSIST is replayed for ever, and its end is unknown.
//
// # Guarantees and limits
//
// On one server that neither stops nor forgets, the store keeps the whole contract. Its limits are those of Redis:
//
//   - Replication is asynchronous. A failover forgets what the old master had acknowledged and not yet replicated: after the
//     loss of a claim, a retry may run a second time; after the loss of a completion, the record is still running and the
//     guarantee decides. Measured: of the claims acknowledged after the link to the replica was cut and before the master was killed, all
//     were lost, 60 of 60 in the tests of this repository and 17,361 in 300 ms of full load; of those replicated before, none.
//     The minority side of a partition took 128,936 in three seconds. Required replicas bound the loss to their lag: see below. When the
//     run of a lost claim renews or ends, the store refuses it, the observer gets an event, and the caller gets the outcome of the other
//     run if there is one.
//   - While a master is missing, keyed calls are refused with STORE_UNAVAILABLE and nothing runs. Measured: Sentinel with
//     down-after-milliseconds of 1000 agreed on a new master 2.2 to 2.3 s after the kill; a cluster with a node timeout of 1.5 s
//     promoted a replica after 2.5 to 3.4 s, and claims worked 0.2 to 0.6 s later.
//   - A restart forgets what the persistence had not yet written: with appendfsync everysec up to a second, without an append-only
//     file everything since the last snapshot. With appendfsync always, nothing.
//   - Redis measures time by its machine's wall clock. A step forward ends leases and retentions early: under AtMostOnce that
//     makes outcomes unknown, under AtLeastOnce it lets a run be taken over while its owner still works. Let the clock be slewed. After
//     a failover or the move of a slot the clock is that of another machine, so keep the clocks of all servers together.
//   - A fence compares the runs of one record. After the loss of the record it begins at 1 again.
//   - Unsettled records live for [DefaultUnknownRetention], and not for ever: see [WithUnknownRetention].
//   - The store sets no bound on records, neither in all nor for one caller: the bound is the server's maxmemory.
//   - Under an eviction policy other than noeviction, a full server drops records of running calls. [Store.Check] refuses it.
//     Under noeviction a full server refuses new claims with [store.ErrFull] before anything runs. Runs that have ended are recorded all
//     the same, since the scripts that end a run may exceed the limit.
//
// If money moves and a second run does harm, use a store with synchronous durability, or deduplicate the handler's effect where it happens,
// by a key that is derived from the call's key.
//
// # Required replicas
//
// In a partition, an isolated master goes on beside the new one: the same call can run on both sides, and the partition's end forgets
// everything that the isolated master has recorded. With these settings a master without replicas refuses all writes:
//
//	min-replicas-to-write 1
//	min-replicas-max-lag 2
//
// For the two seconds of the lag an isolated master still grants claims. If Sentinel's down-after-milliseconds or the cluster's
// cluster-node-timeout is longer than the lag, the isolated master refuses writes before there is another master. Have two replicas at
// least: with a single one, the new master has no replica, and refuses writes, too.
//
// While a master refuses writes, for want of replicas (NOREPLICAS), because it could not write its data to disk (MISCONF), or because it
// is a replica by now (READONLY):
//   - New calls are refused with STORE_UNAVAILABLE, and nothing runs. A method with FailOpen runs them without protection.
//   - Duplicates get their answer all the same: a replay if the call is completed. A server that is a replica, or that lacks its
//     replicas, may lack an outcome that another master has. So it does not answer OUTCOME_UNKNOWN but STORE_UNAVAILABLE. A later try
//     finds the master.
//   - Running calls cannot renew their leases. Where takeover is allowed, the context of a handler is cancelled before its lease ends.
//     Under AtMostOnce the handler goes on.
//   - Ended calls are answered, with the status "unrecorded". The process goes on trying to record the outcome, and succeeds when writes
//     are accepted again. If the process ends before that, the guarantee decides after the lease, as after any crash: the outcome is
//     unknown under AtMostOnce, and the call may run again under AtLeastOnce.
//   - [Store.Check] fails and names the reason.
//
// # Connections
//
// [Open] makes a client that leaves a demoted server behind one address, and replaces all connections if one is found dead. A client that
// is passed to [New] does so only with [SetOptions], [SetClusterOptions] or [SetFailoverOptions]. Check warns otherwise.
//   - A connection whose server refuses writes is replaced, with all others to the same address, at most once a second. The address may
//     lead to a new master. Proxies that write "ERR READONLY" in place of "READONLY" are understood. While the address leads to the demoted
//     server, replays, KEY_REUSED, Lookup and ListUnknown come from the records that this server has. Resolve and Forget fail there.
//   - If an answer does not come, the connections that have received nothing since are replaced. So a network that has silently dropped
//     all connections fails the operations that were under way, and not one operation for each connection.
//   - A connection is used for ten minutes.
//
// # Clusters
//
// Slots can move to other servers at any time. Every command names one key, so the client follows a record or an index that has moved
// (ASK, MOVED), and no command has to wait for the end of a migration (TRYAGAIN). A test moves slots of records and indexes under load.
//
// # Access
//
// A user of the servers' access control list needs, for a prefix of "onlyonce:",
//
//	~onlyonce:* +evalsha +eval +get +set +del +pexpiretime +time +zadd +zrem +zscore +zrange +scan +getrange +info
//
// since the server also checks the commands that scripts call. For another database than 0 add
//
//	+select
//
// and in a cluster
//
//	+cluster|slots +cluster|info +asking +command
//
// where +asking is for slots that move to another server. Without it, operations on their records fail as long as they move. Behind
// Sentinel the user also needs the rights that the sentinels' own list requires.
//
// A test runs with exactly these rights, also while slots move, and with any less a command is refused. Without +command the client works,
// and logs an error. Without +info use [WithoutCheck].
//
// # Other servers
//
// Valkey speaks the same protocol; the page docs/tested.md lists the versions that are tested. A proxy must execute the commands of a
// pipeline on one key in their order: a claim and a completion are two commands, and the second one reads a time.
package redisstore
