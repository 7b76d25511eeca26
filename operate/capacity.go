package operate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// StoreKind is a kind of store whose costs are known.
type StoreKind string

// The kinds of stores.
const (
	Redis      StoreKind = "redis"
	PostgreSQL StoreKind = "postgresql"
	MySQL      StoreKind = "mysql" // MariaDB too
	SQLite     StoreKind = "sqlite"
	Memory     StoreKind = "memory" // memstore
)

// Costs are what a kind of store takes, as measured: docs/capacity.md says how. A test fails if the sizes are wrong by more than 30 %.
type Costs struct {
	// Record is how many bytes a settled record takes with its entries in indexes, without names and outcome.
	Record float64
	// PerByte is how many bytes each byte of names and outcome takes.
	PerByte float64
	// Running is how many bytes a record takes besides while its run goes on: its entry in the index of what is not settled.
	Running float64
	// InMemory means that all records are in the memory of the servers. Otherwise they are on their disks.
	InMemory bool
	// Call and Replay are how much time of one CPU of the store a first call and a replay take. Zero is not known.
	Call, Replay time.Duration
}

// CostsOf returns the measured costs of a kind of store, and false if there is no such kind.
func CostsOf(kind StoreKind) (Costs, bool) {
	switch kind {
	case Redis:
		return Costs{
			Record: 255, PerByte: 1.1, Running: 100, InMemory: true,
			Call: 24500 * time.Nanosecond, Replay: 6400 * time.Nanosecond,
		}, true
	case PostgreSQL:
		return Costs{Record: 830, PerByte: 1.3, Running: 100}, true
	case MySQL:
		return Costs{Record: 860, PerByte: 1.7, Running: 100}, true
	case SQLite:
		return Costs{Record: 255, PerByte: 1.1, Running: 60}, true
	case Memory:
		return Costs{Record: 200, PerByte: 1, InMemory: true}, true
	default:
		return Costs{}, false
	}
}

// The defaults of a Load.
const (
	// DefaultNames is the length of a readable key and a method, in bytes.
	DefaultNames = 70
	// DefaultFill is how much of a shard's memory, disk and CPU is used at most.
	DefaultFill = 0.6
	// DefaultShardBytes is the memory or disk of a shard: 16 GiB.
	DefaultShardBytes = 16 << 30
	// databaseCalls is how many first calls per second a primary of a database is assumed to take. It is no measurement.
	databaseCalls = 2000
)

// Load is what a store has to bear. Fields that are zero have the defaults that they name.
type Load struct {
	// Kind is the kind of the store. The default is Redis.
	Kind StoreKind
	// Calls is how many first calls arrive each second. It is positive, and at most a million.
	Calls float64
	// Replays is how many duplicates arrive for each first call, such as 0.02. The default is none.
	Replays float64
	// Retention is how long a record is kept after its call. The default is onlyonce.DefaultRetention.
	Retention time.Duration
	// Outcome is the length of an answer, in bytes, on average. The default is none.
	Outcome int
	// Names is the length of the readable key and the method, in bytes. The default is DefaultNames; -1 means that both are hidden.
	Names int
	// Run is how long a handler runs on average. The default is 100 ms.
	Run time.Duration
	// Lease is the lease of a run. The default is onlyonce.DefaultLease.
	Lease time.Duration
	// Replicas is how many copies of each shard there are besides the primary. The default is none.
	Replicas int
	// ShardBytes is the memory of a shard in Redis, and its disk in a database. The default is DefaultShardBytes.
	ShardBytes float64
	// ShardCalls is how many first calls per second a shard takes when it does nothing else, as Bench measures it. The default follows from
	// Costs.Call for Redis, and is 2000 for a database, which is an assumption. There is no bound for Memory.
	ShardCalls float64
	// Fill is how much of a shard is used at most: the rest is for fragmentation, snapshots, peaks and the loss of a shard. The default is
	// DefaultFill.
	Fill float64
}

// Need is what a Load needs. Bytes are those of all shards together, unless a field says otherwise.
type Need struct {
	// Load is the load with its defaults, and Costs are those of its store.
	Load  Load
	Costs Costs
	// Records is how many settled records live at a time, and Running how many runs go on.
	Records, Running float64
	// RecordBytes is what one settled record takes.
	RecordBytes float64
	// Bytes is what all records take, in one copy.
	Bytes float64
	// Memory and Disk are what to plan for, with all copies and with room to spare. Memory is that of the records' servers for Redis and
	// Memory. Disk is, for Redis, the room for two copies of each server's memory, which a rewrite of its append-only file takes.
	Memory, Disk float64
	// Operations is how many operations per second the store gets: claims, completions, renewals and replays.
	Operations float64
	// Shards is how many primaries are needed: the greater of ShardsForBytes and ShardsForCalls.
	Shards, ShardsForBytes, ShardsForCalls int
	// ShardBytes and ShardCalls are what one shard has to bear then, without room to spare.
	ShardBytes, ShardCalls float64
}

// withDefaults fills the fields that are zero.
func (l Load) withDefaults() Load {
	l.Kind = cmp.Or(l.Kind, Redis)
	l.Retention = cmp.Or(l.Retention, onlyonce.DefaultRetention)
	l.Names = cmp.Or(l.Names, DefaultNames)
	l.Run = cmp.Or(l.Run, 100*time.Millisecond)
	l.Lease = cmp.Or(l.Lease, onlyonce.DefaultLease)
	l.ShardBytes = cmp.Or(l.ShardBytes, DefaultShardBytes)
	l.Fill = cmp.Or(l.Fill, DefaultFill)

	return l
}

// mostCalls is the greatest load for which the formula is meant.
const mostCalls = 1_000_000

func (l Load) validate() error {
	var errs []error

	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("operate: capacity: "+format, args...))
		}
	}

	_, known := CostsOf(l.Kind)
	refuse(!known, "there is no store of kind %q: give %s, %s, %s, %s or %s", l.Kind, Redis, PostgreSQL, MySQL, SQLite, Memory)
	refuse(!(l.Calls > 0 && l.Calls <= mostCalls), "%v calls per second: give more than 0, and at most %d", l.Calls, mostCalls)
	refuse(!(l.Replays >= 0 && l.Replays <= mostCalls), "%v replays for each call: give 0 or more", l.Replays)
	refuse(l.Retention < 0, "a retention of %v: give a positive duration", l.Retention)
	refuse(l.Outcome < 0, "an outcome of %d bytes: give 0 or more", l.Outcome)
	refuse(l.Names < -1, "names of %d bytes: give 0 or more, or -1 for none", l.Names)
	refuse(l.Run < 0 || l.Lease < 0, "a run of %v and a lease of %v: give positive durations", l.Run, l.Lease)
	refuse(l.Replicas < 0, "%d replicas: give 0 or more", l.Replicas)
	refuse(!(l.ShardBytes > 0), "shards of %v bytes: give a positive number", l.ShardBytes)
	refuse(!(l.ShardCalls >= 0), "shards of %v calls per second: give a positive number", l.ShardCalls)
	refuse(!(l.Fill > 0 && l.Fill <= 1), "shards filled to %v: give more than 0, and at most 1", l.Fill)

	return errors.Join(errs...)
}

// envelope is how many bytes are stored with an outcome: its code, its checksum and its kind.
const envelope = 9

// renewalsPerLease is how often the lease of a run is renewed in the time of one lease.
const renewalsPerLease = 3

// Capacity computes what a load needs. It is a pure function; docs/capacity.md has the formula. The error names every field that cannot be.
func Capacity(l Load) (Need, error) {
	l = l.withDefaults()
	if err := l.validate(); err != nil {
		return Need{}, err
	}

	costs, _ := CostsOf(l.Kind)
	n := Need{Load: l, Costs: costs}

	n.Records = l.Calls * l.Retention.Seconds()
	n.Running = l.Calls * l.Run.Seconds()
	variable := float64(max(l.Names, 0) + l.Outcome + envelope)
	n.RecordBytes = costs.Record + costs.PerByte*variable
	n.Bytes = n.Records*n.RecordBytes + n.Running*(n.RecordBytes+costs.Running)

	renewals := math.Floor(float64(l.Run) / (float64(l.Lease) / renewalsPerLease))
	n.Operations = l.Calls * (2 + renewals + l.Replays)

	n.ShardsForBytes = atLeastOne(n.Bytes / (l.ShardBytes * l.Fill))
	n.ShardsForCalls = atLeastOne(n.callShards())
	n.Shards = max(n.ShardsForBytes, n.ShardsForCalls)
	n.ShardBytes, n.ShardCalls = n.Bytes/float64(n.Shards), l.Calls/float64(n.Shards)

	planned := n.Bytes / l.Fill * float64(1+l.Replicas)

	const rewrite = 2

	if costs.InMemory {
		n.Memory = planned
	} else {
		n.Disk = planned
	}

	if l.Kind == Redis {
		n.Disk = rewrite * planned
	}

	return n, nil
}

// callShards is how many shards the calls keep as busy as they may be.
func (n *Need) callShards() float64 {
	l := &n.Load

	switch {
	case l.ShardCalls > 0:
		return l.Calls / (l.ShardCalls * l.Fill)
	case n.Costs.Call > 0:
		// A renewal costs as much as half a call.
		renewals := n.Operations/l.Calls - 2 - l.Replays
		busy := n.Costs.Call.Seconds()*(1+renewals/2) + n.Costs.Replay.Seconds()*l.Replays

		return l.Calls * busy / l.Fill
	case l.Kind == Memory:
		return 0
	default:
		return l.Calls / (databaseCalls * l.Fill)
	}
}

func atLeastOne(shards float64) int { return int(math.Max(math.Ceil(shards), 1)) }
