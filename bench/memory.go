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
	bytes float64 // per record, without its outcome
	nanos float64 // for a claim and its completion, at that size
}

// memory measures memstore by itself: its memory and whether it slows down as it fills.
func (c *config) memory(ctx context.Context) error {
	const title = "memstore"

	if !c.run.MatchString(title + "/") {
		return nil
	}

	sizes := []int{10_000, 100_000, 1_000_000}
	if c.large {
		sizes = append(sizes, 5_000_000)
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
		}
	}

	printTable(title, "Aim: 350 bytes per finished record, its key of 35 bytes included, its outcome not.",
		[]string{"records", "memory per record", "claim and completion"}, rows)

	return nil
}

// fillStore fills a store, weighs it, and measures what more records cost.
func fillStore(ctx context.Context, size int) (filled, error) {
	outcome := []byte("one outcome that all records share")
	records := unbounded()

	add := func(n int) error {
		var op store.Claim

		binary.BigEndian.PutUint64(op.Key[:], scrambled(n))
		binary.BigEndian.PutUint64(op.Key[8:], uint64(n))  //nolint:gosec // not negative
		binary.BigEndian.PutUint64(op.Token[:], uint64(n)) //nolint:gosec // not negative
		op.Fingerprint.Scheme = 1
		op.Lease, op.MaxRun, op.Retention = 15*time.Second, 25*time.Second, 24*time.Hour
		op.Method, op.ReadableKey = unaryCall, newKey(n)

		if _, err := records.Claim(ctx, op); err != nil {
			return err
		}

		_, err := records.Complete(ctx, store.Completion{Key: op.Key, Token: op.Token, Outcome: outcome})

		return err
	}

	before := heap()

	for n := range size {
		if err := add(n); err != nil {
			return filled{}, err
		}
	}

	bytes := float64(heap()-before) / float64(size)
	more, err := measure(1, 10_000, func(i int) error { return add(size + i) })

	runtime.KeepAlive(records)

	return filled{bytes: bytes, nanos: more.nanos}, err
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
