package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	testing "google.golang.org/grpc/interop/grpc_testing"

	"github.com/onlyonce-go/onlyonce/store"
)

// memory measures memstore alone: its memory, whether it slows down as it fills, and how long an operation or the
// garbage collector delays other operations.
func (c *config) memory(ctx context.Context) error {
	sizes := []int{10_000, 100_000, 1_000_000}
	if c.large {
		sizes = append(sizes, 10_000_000)
	}

	variants := make([]variant, 0, 2*len(sizes))

	for _, size := range sizes {
		kind := thousands(size) + " records"
		variants = append(variants,
			fillingVariant(byLeast, kind, size, func() filling { return leastFilling(newLeast()) }),
			fillingVariant(byOnlyonce, kind, size, func() filling { return memstoreFilling(ctx, unbounded()) }))
	}

	return c.play(ctx, &contest{
		id: "records", question: "Records in memory: how much memory do they take, and how long do they delay other operations?",
		lost: func(of func(string) row) string {
			r := of(byOnlyonce + ", 1,000,000 records")

			return fmt.Sprintf("A record takes %s; a collection of a million records takes %s of CPU, and the longest operation until then %s.",
				size(r.median(record)), millis(r.median(collect)), millis(r.median(worst)))
		},
		about: "A record is finished and has a key of 35 bytes; its outcome is not counted. An operation is a claim or a completion, made by " +
			"one goroutine; the longest one includes what the collector does to it. CPU is that of the whole process.",
		columns: []column{
			figure("memory per record (aim: 360 B)", size, record),
			figure("CPU of a collection", millis, collect),
			times("of the least's", byLeast, collect),
			figure("longest operation (aim: 4 ms)", twoMillis, worst),
			figure("time of a claim and its completion", nanoText, nanos),
			times("of the least's", byLeast, nanos),
		},
		callers: 1, calls: 10_000, variants: variants,
	})
}

func record(s sample) float64  { return s.record }
func collect(s sample) float64 { return s.collect }
func worst(s sample) float64   { return s.worst }

// filling adds the n-th record. It returns the time of its longest operation.
type filling func(n int) (longest time.Duration, err error)

// fillingVariant adds records, measures their memory, and then measures further records.
func fillingVariant(way, kind string, size int, open func() filling) variant {
	var filled sample

	return variant{
		way: way, kind: kind,
		start: func() (func(int) error, error) {
			before := heap()
			add := open()
			longest := time.Duration(0)

			for n := range size {
				took, err := add(n)
				if err != nil {
					return nil, err
				}

				longest = max(longest, took)
			}

			filled = sample{record: float64(heap()-before) / float64(size), worst: float64(longest), collect: float64(collection())}

			return func(i int) error {
				_, err := add(size + i)

				return err
			}, nil
		},
		finish: func(s *sample) error {
			s.record, s.worst, s.collect = filled.record, filled.worst, filled.collect

			return nil
		},
	}
}

// oneOutcome is shared by all records, because the memory of outcomes is not the store's.
var oneOutcome = []byte("one outcome that all records share") //nolint:gochecknoglobals // a constant

// memstoreFilling claims and completes.
func memstoreFilling(ctx context.Context, records store.Direct) filling {
	return func(n int) (longest time.Duration, err error) { return addRecord(ctx, records, n) }
}

// leastFilling begins and keeps.
func leastFilling(l *least) filling {
	kind := new(testing.SimpleResponse).ProtoReflect().Type()

	return func(n int) (longest time.Duration, err error) {
		answer := leastAnswer{kind: kind, response: oneOutcome}
		binary.BigEndian.PutUint64(answer.request[:], scrambled(n))

		call := leastCall{unaryCall, newKey(n)}
		began := time.Now()

		if _, first := l.begin(call, answer.request); !first {
			return 0, errors.New("a fresh key is not free")
		}

		claimed := time.Now()

		l.keep(call, answer)

		return max(claimed.Sub(began), time.Since(claimed)), nil
	}
}

// addRecord claims and completes the n-th key.
func addRecord(ctx context.Context, records store.Direct, n int) (longest time.Duration, err error) {
	var (
		op  store.Claim
		res store.Result
	)

	binary.BigEndian.PutUint64(op.Key[:], scrambled(n))
	binary.BigEndian.PutUint64(op.Key[8:], uint64(n))  //nolint:gosec // not negative
	binary.BigEndian.PutUint64(op.Token[:], uint64(n)) //nolint:gosec // not negative
	op.Fingerprint.Scheme = 1
	op.Lease, op.MaxRun, op.Retention = 15*time.Second, 25*time.Second, 24*time.Hour
	op.Method, op.ReadableKey = unaryCall, newKey(n)

	began := time.Now()

	if err := records.ClaimTo(ctx, &op, &res); err != nil {
		return 0, err
	}

	claimed := time.Now()

	if err := records.CompleteTo(ctx, &store.Completion{Key: op.Key, Token: op.Token, Outcome: oneOutcome}, &res); err != nil {
		return 0, err
	}

	return max(claimed.Sub(began), time.Since(claimed)), nil
}

// collection returns the CPU time of a garbage collection during which nothing else runs. It is 0 if the system does
// not count CPU time.
func collection() time.Duration {
	before, _ := cpuTime()

	runtime.GC()

	after, _ := cpuTime()

	return after - before
}

// heap is the memory of all that is reachable.
func heap() uint64 {
	var stats runtime.MemStats

	runtime.GC()
	runtime.ReadMemStats(&stats)

	return stats.HeapAlloc
}

// scrambled spreads numbers over the shards as a hash would.
func scrambled(n int) uint64 {
	x := uint64(n) * 0x9e3779b97f4a7c15 //nolint:gosec // not negative
	x ^= x >> 32

	return x * 0xd6e8feb86659fd93
}
