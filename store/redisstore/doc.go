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
// One record is one key: a string in a versioned binary form, under a name of fixed length made of the prefix and the hash
// that the engine gives. Every operation is one script, and so one atomic step, one round trip, and decided on the
// server's clock: two round trips for an execution, one for a replay or a reused key. Whatever is sent twice, because
// a reply was lost, is recognised by its token.
//
// Concurrent operations share round trips: while two batches are under way to a server, those that come wait for each
// other and go together. One caller alone is never delayed, and there is no background work. See [WithoutBatching].
//
// The scripts also keep an index of what is not settled, so that [Store.ListUnknown] need not look at every key: one sorted
// set for each of 256 hash tags, in the slot of its records. See [WithoutIndex].
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
//     The minority side of a partition took 128,936 in three seconds. Set min-replicas-to-write and min-replicas-max-lag, which
//     bound the loss to the lag. A claim that a failover has lost is noticed when its run
//     ends or renews: its completion is refused and its observer is told.
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
// # Access
//
// A user of the servers' access control list needs, for a prefix of "onlyonce:",
//
//	~onlyonce:* +evalsha +eval +get +set +del +pexpiretime +time +zadd +zrem +zscore +zrange +zremrangebyscore +info
//
// since the commands that scripts call are checked as well; in a cluster also
//
//	+cluster|slots +cluster|info +command
//
// and behind Sentinel what the sentinels' own list asks for. A test runs with exactly these, and with any less something
// fails; without +command only the client complains, in its log. Without +info give [WithoutCheck].
//
// # Other servers
//
// Valkey speaks the same protocol and has the same scripts and commands; it is untested here. Proxies that do not keep the
// commands of a pipeline on one connection are fine, since no operation needs more than one command.
package redisstore
