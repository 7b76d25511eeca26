// Package redisstore keeps onlyonce records in Redis, for services of more than one process: on one server, behind Sentinel
// or in a Redis Cluster, from version 7.0 on.
//
//	records, err := redisstore.Open("redis://user:password@localhost:6379/0")
//	…
//	engine, err := onlyonce.New(records)
//
// [Open] makes a client with sensible settings; [New] takes a client that the program has.
//
// # How it works
//
// One record is one key: a string in a versioned binary form. Its name is the prefix, followed by the hash that the engine gives. Every
// operation is one atomic step, decided on the server's clock. An execution takes two round trips, a replay one. The store recognizes an
// operation that is sent twice, because a reply was lost, by its token.
//   - A claim stores a record that the client has made, unless there is one (SET with NX and GET). If there is a record that is not
//     completed, a script decides in another round trip.
//   - A completion replaces the record if it still has the bytes that its owner knows. On servers that know SET with IFEQ (Valkey from 8.1,
//     Redis from 8.4; [Store.Check] finds out) it is this command, elsewhere a short script. If the record has other bytes, a longer script
//     decides in another round trip.
//   - All other operations are scripts.
//
// Concurrent operations share round trips: while a batch is under way to a server, the operations that come wait, and go together. On a
// slow network up to four batches are under way. An operation with many bytes goes by itself. One caller alone is never delayed. See
// [WithoutBatching].
//
// An index finds the records that are not settled, so that [Store.ListUnknown] need not look at every key. It is 16 sorted sets that all
// records share. The store writes the entry of a run about 100 ms after its claim, in the background, and not at all if the run is over by
// then. [Store.Close] writes what still waits. The entry is missing if a process dies within these 100 ms, or if the index cannot be
// written for a minute. [Store.Run] finds such records. See [WithoutIndex].
//
// [Store.Forget] takes a second round trip: the client decides on the bytes of the record, and the server removes the record if it
// still has these bytes.
//
// Duplicates in other processes poll. Those of one process share one poll, whatever their number.
//
// # What it holds, and what it does not
//
// On one server that neither stops nor forgets, the store keeps the whole contract. What it cannot hold comes from Redis:
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
//     makes outcomes unknown, under AtLeastOnce it lets a run be taken over while its owner still works. Let the clock be slewed.
//   - A fence compares the runs of one record. After the loss of the record it begins at 1 again.
//   - Records that nobody settles live for [DefaultUnknownRetention], and not for ever; see [WithUnknownRetention].
//   - The store sets no bound on records, neither in all nor for one caller: the bound is the server's maxmemory.
//   - Under an eviction policy other than noeviction, a full server drops records of running calls. [Store.Check] refuses it.
//     Under noeviction a full server refuses new claims with [store.ErrFull] before anything runs; whatever has run is
//     recorded all the same, since the scripts that end a run are allowed to exceed the limit.
//
// Where money moves and a second run is not harmless by itself, either use a store with synchronous durability, or have the
// handler's effect deduplicated where it happens, by a key that is derived from the call's.
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
// cluster-node-timeout is longer than the lag, it refuses writes before there is another master. Have two replicas at least: with a
// single one, the new master has no replica, and refuses as well.
//
// While a master refuses writes, for want of replicas (NOREPLICAS), because it could not write its data to disk (MISCONF), or because it
// is a replica by now (READONLY):
//   - New calls are refused with STORE_UNAVAILABLE, and nothing runs. A method with FailOpen runs them without protection.
//   - Duplicates get their answer all the same: a replay if the call is completed.
//   - Running calls cannot renew their leases. Where takeover is allowed, the context of a handler is cancelled before its lease ends.
//     Under AtMostOnce the handler goes on.
//   - Ended calls are answered, with the status "unrecorded". The process goes on trying to record the outcome, and succeeds when writes
//     are accepted again. If the process ends before that, the guarantee decides after the lease, as after any crash: the outcome is
//     unknown under AtMostOnce, and the call may run again under AtLeastOnce.
//   - [Store.Check] fails and names the reason.
//
// # Connections
//
// [Open] makes connections that survive a change of servers behind one address, and die together if one is found dead. A client that is
// passed to [New] has this only with [SetOptions], [SetClusterOptions] or [SetFailoverOptions]; Check warns otherwise.
//   - A connection whose server refuses writes is replaced, with all others to the same address, at most once a second. The address may
//     lead to a new master. Proxies that write "ERR READONLY" in place of "READONLY" are understood.
//   - If an answer does not come, the connections that have received nothing since are replaced. So a network that has silently dropped
//     all connections costs the operations that were under way, and not one failure for each connection.
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
//	~onlyonce:* +evalsha +eval +get +set +del +pexpiretime +time +zadd +zrem +zscore +zrange +zremrangebyscore +info
//
// since the commands that scripts call are checked as well; for another database than 0 also
//
//	+select
//
// and in a cluster also
//
//	+cluster|slots +cluster|info +asking +command
//
// where +asking is for slots that move to another server. Without it the operations on their records fail as long as they move. Behind
// Sentinel the user also needs what the sentinels' own list requires.
//
// A test runs with exactly these, also while slots move, and with any less something is refused. Without +command only the client
// complains, in its log. Without +info give [WithoutCheck].
//
// # Other servers
//
// Valkey speaks the same protocol; the page docs/tested.md lists the versions that are tested. A proxy must execute
// the commands of a pipeline on one key in their order: a claim and a completion are two commands, and the second one reads a time.
package redisstore
