package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// filled is what a store of some size was like.
type filled struct {
	bytes   float64       // per record, without its outcome
	nanos   float64       // for a claim and its completion, at that size
	collect time.Duration // CPU time of a collection at that size, 0 if it is not known
	worst   time.Duration // the longest claim or completion on the way to that size
}

// memory measures memstore by itself: its memory, whether it slows down as it fills, and for how long an operation or the collector of
// the runtime holds others up.
func (c *config) memory(ctx context.Context) error {
	const title = "memstore"

	if !c.run.MatchString(title + "/") {
		return nil
	}

	sizes := []int{10_000, 100_000, 1_000_000}
	if c.large {
		sizes = append(sizes, 10_000_000)
	}

	results := make([][]filled, len(sizes))

	for range c.rounds {
		for i, size := range sizes {
			if err := ctx.Err(); err != nil {
				return err
			}

			got, err := fillStore(ctx, size)
			if err != nil {
				return err
			}

			results[i] = append(results[i], got)
		}
	}

	rows := make([][]string, len(sizes))
	for i, size := range sizes {
		rows[i] = []string{
			thousands(size),
			fmt.Sprintf("%.0f B", median(results[i], func(f filled) float64 { return f.bytes })),
			fmt.Sprintf("%.0f ns", median(results[i], func(f filled) float64 { return f.nanos })),
			fmt.Sprintf("%.2f ms", median(results[i], func(f filled) float64 { return milliseconds(f.worst) })),
			fmt.Sprintf("%.1f ms", median(results[i], func(f filled) float64 { return milliseconds(f.collect) })),
		}
	}

	printTable(title, "Aims: 360 bytes per finished record, its key of 35 bytes included, its outcome not; no operation of a million records "+
		"takes 4 ms. The longest operation and the CPU time of a collection are those of the whole process.",
		[]string{"records", "memory per record", "claim and completion", "longest operation", "CPU of a collection"}, rows)

	return nil
}

// fillStore fills a store, weighs it, and measures what more records and a collection cost.
func fillStore(ctx context.Context, size int) (got filled, err error) {
	records := unbounded()
	before := heap()

	for n := range size {
		longest, err := addRecord(ctx, records, n)
		if err != nil {
			return filled{}, err
		}

		got.worst = max(got.worst, longest)
	}

	got.bytes = float64(heap()-before) / float64(size)

	got.collect = collection()

	more, err := measure(1, 10_000, func(i int) error {
		_, err := addRecord(ctx, records, size+i)

		return err
	})
	got.nanos = more.nanos

	runtime.KeepAlive(records)

	return got, err
}

// oneOutcome is shared by all records, because the memory of outcomes is not the store's.
var oneOutcome = []byte("one outcome that all records share") //nolint:gochecknoglobals // a constant

// addRecord claims and completes the n-th key. It returns the time of the longer of both operations.
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

// collection is the CPU time of a collection, in which nothing else happens. It is 0 if the system does not count CPU time.
func collection() time.Duration {
	before, _ := cpuTime()

	runtime.GC()

	after, _ := cpuTime()

	return after - before
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

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
