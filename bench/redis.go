package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// redisCalls measures calls to servers that keep their records in Redis, in each Redis program of this machine.
func (c *config) redisCalls(ctx context.Context) error {
	for _, program := range redisPrograms() {
		if err := c.redisCallsOn(ctx, &program); err != nil {
			return err
		}
	}

	return nil
}

func (c *config) redisCallsOn(ctx context.Context, program *redisProgram) (err error) {
	r := &rig{ctx: ctx, profile: c.serverProfile, program: program}
	defer func() { err = errors.Join(err, r.stop()) }()

	return errors.Join(c.oneRedisCaller(ctx, r), c.manyRedisCallers(ctx, r))
}

const aboutRedis = "The textbook is GET, SET NX, SET and DEL with the defaults of go-redis. Two scripts means two scripts " +
	"of one line through go-redis' auto-pipeliner: GET and SET; GET, compare and SET. Both protect less: they have no " +
	"fence, no fingerprint and no index. Each server has a process of its own, whose CPU time is counted; CPU of Redis is that of its process."

func (c *config) oneRedisCaller(ctx context.Context, r *rig) error {
	const calls = 1_000

	return c.play(ctx, &contest{
		id: r.program.id() + "-1", question: fmt.Sprintf("Records in %s: how long does one caller wait?", r.program.name),
		lost: func(of func(string) row) string {
			first, again := of(onlyonceFirst), of(onlyonceReplay)

			return fmt.Sprintf("A first call takes %s times as long as with the textbook, a replay %s times.",
				ratio(first.times(byTextbook, latency)), ratio(again.times(byTextbook, latency)))
		},
		about: aboutRedis + " Aims, of the textbook's: first calls 0.88 on Redis 7 and 0.76 on Valkey 9, replays 0.83 and 0.77.",
		columns: []column{
			times("of the textbook's", byTextbook, latency),
			times("of two scripts'", byTwoScripts, latency),
			figure("median", micros, latency),
			more("over gRPC alone", bare, moreMicros, latency),
			figure("CPU per call", micros, cpu),
			figure("CPU of Redis per call", micros, redisCPU),
		},
		callers: 1, calls: calls, variants: r.variants(inRedis(), calls), //nolint:contextcheck // the rig has it
	})
}

func (c *config) manyRedisCallers(ctx context.Context, r *rig) error {
	const calls = 6_000

	return c.play(ctx, &contest{
		id: r.program.id() + "-64", question: fmt.Sprintf("Records in %s: how many calls does a busy server answer?", r.program.name),
		lost: func(of func(string) row) string {
			first, again := of(onlyonceFirst), of(onlyonceReplay)

			return fmt.Sprintf("First calls reach %s of the calls per second of two scripts, and %s times those of the textbook. "+
				"Replays reach %s and %s.",
				ratio(first.times(byTwoScripts, perSecond)), ratio(first.times(byTextbook, perSecond)),
				ratio(again.times(byTwoScripts, perSecond)), ratio(again.times(byTextbook, perSecond)))
		},
		about: aboutRedis + " 64 callers make calls at the same time. Aims for first calls on Redis 7 and Valkey 9: 0.95 and 1.0 of the calls " +
			"of two scripts, 2.0 and 2.2 times those of the textbook, 0.37 and 0.25 of its CPU of Redis. Aim for replays: 1.1 times its calls.",
		columns: []column{
			times("calls/s, of two scripts'", byTwoScripts, perSecond),
			times("of the textbook's", byTextbook, perSecond),
			timesAdded("CPU over gRPC, of the textbook's", byTextbook, cpu),
			times("CPU of Redis, of the textbook's", byTextbook, redisCPU),
			figure("calls/s", count, perSecond),
			figure("median", micros, latency),
			figure("CPU per call", micros, cpu),
			figure("CPU of Redis per call", micros, redisCPU),
		},
		callers: 64, calls: calls, variants: r.variants(inRedis(), calls), //nolint:contextcheck // the rig has it
	})
}

// id is the name of the program in the names of its tables.
func (p redisProgram) id() string { return strings.ToLower(p.name) }
