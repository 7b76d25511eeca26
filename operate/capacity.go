package operate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// StoreKind is a kind of store with known costs.
type StoreKind string

// The kinds of stores with known costs.
const (
	Redis      StoreKind = "redis"
	PostgreSQL StoreKind = "postgresql"
	MySQL      StoreKind = "mysql" // also MariaDB
	SQLite     StoreKind = "sqlite"
	Memory     StoreKind = "memory" // memstore
)

// Costs are the measured costs of one kind of store. docs/capacity.md describes the measurement. A test fails if a size is wrong by more
// than 30 %.
type Costs struct {
	// Record is the size of a settled record in bytes, with its index entries and without names and outcome.
	Record float64
	// PerByte is the number of bytes stored for each byte of names and outcome.
	PerByte float64
	// Running is the number of extra bytes while a run is going on: the entry in the index of unsettled records.
	Running float64
	// InMemory reports that the store keeps all records in memory. Otherwise it keeps them on disk.
	InMemory bool
	// Call and Replay are the CPU time of the store for a first call and for a replay. Zero means that it is not known.
	Call, Replay time.Duration
}

// CostsOf returns the measured costs of a kind of store. It returns false if the kind is unknown.
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
	// DefaultNames is the default of Load.Names: 70 bytes.
	DefaultNames = 70
	// DefaultFill is the default of Load.Fill: 60 %.
	DefaultFill = 0.6
	// DefaultShardBytes is the default of Load.ShardBytes: 16 GiB.
	DefaultShardBytes = 16 << 30
	// databaseCalls is the assumed number of first calls per second of a database primary. It is not measured.
	databaseCalls = 2000
)

// Load describes the expected load on a store. Zero fields have the defaults below.
type Load struct {
	// Kind is the kind of the store. The default is Redis.
	Kind StoreKind
	// Calls is the number of first calls per second: above 0, at most 1,000,000. Required.
	Calls float64
	// Replays is the number of duplicates per first call, such as 0.02. The default is 0.
	Replays float64
	// Retention is how long a record stays after its call. The default is onlyonce.DefaultRetention.
	Retention time.Duration
	// Outcome is the average size of an outcome in bytes. The default is 0.
	Outcome int
	// Names is the length of the readable key and the method together, in bytes. The default is DefaultNames. -1 means that both are hidden.
	Names int
	// Run is the average duration of a handler. The default is 100 ms.
	Run time.Duration
	// Lease is the duration of the lease. The default is onlyonce.DefaultLease.
	Lease time.Duration
	// Replicas is the number of copies of each shard besides the primary. The default is 0.
	Replicas int
	// ShardBytes is the memory of a Redis shard, or the disk of a database, in bytes. The default is DefaultShardBytes.
	ShardBytes float64
	// ShardCalls is the number of first calls per second that one shard can take, as Bench measures it. For Redis, the default follows from
	// Costs.Call. For a database, the default is an assumption: 2000. For Memory there is no limit.
	ShardCalls float64
	// Fill is the share of a shard to use at most, 0 to 1. The rest is for fragmentation, snapshots, peaks and the loss of a shard. The
	// default is DefaultFill.
	Fill float64
}

// Need is the result of Capacity. Sizes are in bytes and for all shards together, unless a field says otherwise.
type Need struct {
	// Load is the load with defaults filled in. Costs are the costs of its kind of store.
	Load  Load
	Costs Costs
	// Records is the number of settled records at any time. Running is the number of concurrent runs.
	Records, Running float64
	// RecordBytes is the size of one settled record.
	RecordBytes float64
	// Bytes is the size of all records, in one copy.
	Bytes float64
	// Memory and Disk are the sizes to plan for, with replicas and headroom. Memory is zero for a database. Disk is zero for Memory. For
	// Redis, Disk has room for two copies of the memory, which a rewrite of the append-only file needs.
	Memory, Disk float64
	// Operations is the number of store operations per second: claims, completions, renewals and replays.
	Operations float64
	// Shards is the number of primaries to plan: the greater of ShardsForBytes and ShardsForCalls.
	Shards, ShardsForBytes, ShardsForCalls int
	// ShardBytes and ShardCalls are the load of one of these shards, without headroom.
	ShardBytes, ShardCalls float64
}

// withDefaults fills in zero fields.
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

// mostCalls is the greatest load that the formula covers.
const mostCalls = 1_000_000

func (l Load) validate() error {
	var errs []error

	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("operate: capacity: "+format, args...))
		}
	}

	_, known := CostsOf(l.Kind)
	refuse(!known, "unknown store kind %q: use %s, %s, %s, %s or %s", l.Kind, Redis, PostgreSQL, MySQL, SQLite, Memory)
	refuse(!(l.Calls > 0 && l.Calls <= mostCalls), "%v calls per second: must be above 0 and at most %d", l.Calls, mostCalls)
	refuse(!(l.Replays >= 0 && l.Replays <= mostCalls), "%v replays per call: must be 0 or more", l.Replays)
	refuse(l.Retention < 0, "retention of %v: must be positive", l.Retention)
	refuse(l.Outcome < 0, "outcome of %d bytes: must be 0 or more", l.Outcome)
	refuse(l.Names < -1, "names of %d bytes: must be 0 or more, or -1 for none", l.Names)
	refuse(l.Run < 0 || l.Lease < 0, "run of %v and lease of %v: both must be positive", l.Run, l.Lease)
	refuse(l.Replicas < 0, "%d replicas: must be 0 or more", l.Replicas)
	refuse(!(l.ShardBytes > 0), "shard size of %v bytes: must be positive", l.ShardBytes)
	refuse(!(l.ShardCalls >= 0), "shards of %v calls per second: must be 0 or more", l.ShardCalls)
	refuse(!(l.Fill > 0 && l.Fill <= 1), "fill of %v: must be above 0 and at most 1", l.Fill)

	return errors.Join(errs...)
}

// envelope is the number of bytes stored with an outcome: code, checksum and kind.
const envelope = 9

// renewalsPerLease is how often a run renews its lease during one lease.
const renewalsPerLease = 3

// Capacity computes the resources that a load needs. It is a pure function. docs/capacity.md has the formula. The error names every invalid
// field.
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

// callShards is the number of shards that the calls need.
func (n *Need) callShards() float64 {
	l := &n.Load

	switch {
	case l.ShardCalls > 0:
		return l.Calls / (l.ShardCalls * l.Fill)
	case n.Costs.Call > 0:
		// A renewal costs half as much as a call.
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
