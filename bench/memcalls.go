package main

import (
	"context"
	"errors"
	"fmt"
)

// memoryCalls measures calls to servers that keep records in their memory.
func (c *config) memoryCalls(ctx context.Context) (err error) {
	here, apart := &rig{ctx: ctx, here: true}, &rig{ctx: ctx, profile: c.serverProfile}
	defer func() { err = errors.Join(err, here.stop(), apart.stop()) }()

	return errors.Join(c.oneCaller(ctx, here), c.manyCallers(ctx, apart))
}

// The names of the rows that the sentences speak of.
const (
	onlyonceFirst  = byOnlyonce + ", " + firstCall
	onlyonceReplay = byOnlyonce + ", " + replay
)

func (c *config) oneCaller(ctx context.Context, r *rig) error {
	const calls = 3_000

	return c.play(ctx, &contest{
		id: "memory-1", question: "Records in memory: how much longer does one caller wait?",
		lost: func(of func(string) row) string {
			adds := func(way, kind string) string { return micros(of(way+", "+kind).adds(bare, latency)) }

			return fmt.Sprintf("A first call takes %s longer than with gRPC alone, and a replay %s. The least adds %s and %s.",
				adds(byOnlyonce, firstCall), adds(byOnlyonce, replay), adds(byLeast, firstCall), adds(byLeast, replay))
		},
		about: aboutMemory + " One caller makes one call after the other, to a server in its own process: to wake another process that has " +
			"nothing to do may take longer than a call. The handler does nothing.",
		columns: []column{
			more("longer than gRPC alone", bare, moreMicros, latency),
			timesAdded("of what the least adds (aim: 2.6)", byLeast, latency),
			figure("median", micros, latency),
		},
		callers: 1, calls: calls, rounds: 4, variants: r.variants(inMemory(), calls), //nolint:contextcheck // the rig has it
	})
}

func (c *config) manyCallers(ctx context.Context, r *rig) error {
	const calls = 12_000

	return c.play(ctx, &contest{
		id: "memory-64", question: "Records in memory: how many fewer calls does a busy server answer?",
		lost: func(of func(string) row) string {
			first, again := of(onlyonceFirst), of(onlyonceReplay)

			return fmt.Sprintf("First calls reach %s of the calls per second of the least, and take %s times its CPU. Replays reach %s, and "+
				"take %s times its CPU.",
				ratio(first.times(byLeast, perSecond)), ratio(first.times(byLeast, cpu)),
				ratio(again.times(byLeast, perSecond)), ratio(again.times(byLeast, cpu)))
		},
		about: aboutMemory + " 64 callers make calls at the same time, and need most of the CPUs. Each server has a process of its " +
			"own, whose CPU time is counted. The handler does nothing.",
		columns: []column{
			times("calls/s, of the least's (aim: 0.92)", byLeast, perSecond),
			times("CPU per call, of the least's (aim: 1.10)", byLeast, cpu),
			times("calls/s, of gRPC's alone", bare, perSecond),
			figure("calls/s", count, perSecond),
			figure("CPU per call", micros, cpu),
			more("over gRPC alone", bare, moreMicros, cpu),
		},
		callers: 64, calls: calls, rounds: 4, variants: r.variants(inMemory(), calls), //nolint:contextcheck // the rig has it
	})
}

const aboutMemory = "The least is what one would write by hand: a map, SHA-256 of the request, the response as bytes; `bench/least.go` " +
	"lists what it does not promise. Requests and responses have 256 bytes, and calls go over TCP on this machine. The records of one " +
	"round are live; the table about their memory shows what many cost the collector."
