package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// recordKind describes the optional parts of a record.
type recordKind struct {
	name   string
	method string
	keys   bool // readable
}

// redisMemory measures the store on Redis alone: its memory, and whether it slows down as it fills.
func (c *config) redisMemory(ctx context.Context) error {
	return errors.Join(c.redisWeights(ctx), c.redisFilled(ctx))
}

// redisRecords is how many records fill a Redis. The hash tables of Redis, whose sizes are powers of two, are full then.
const redisRecords = 250_000

// redisWeights measures the memory of finished records.
func (c *config) redisWeights(ctx context.Context) error {
	const (
		id     = "redis-records"
		method = "/payments.v1.PaymentService/Pay"
	)

	var (
		rows [][]string
		lost string
	)

	for _, kind := range []recordKind{
		{name: "hidden key"},
		{name: "readable key and method", method: method, keys: true},
	} {
		if !c.wants(id, kind.name) {
			continue
		}

		weight, err := weighRedis(ctx, redisRecords, kind)
		if err != nil {
			return err
		}

		lost = fmt.Sprintf("%.0f bytes for a record with a %s, besides its outcome.", weight.whole, kind.name)
		rows = append(rows, []string{kind.name, fmt.Sprintf("%.0f B", weight.whole), fmt.Sprintf("%.0f B", weight.entry)})
	}

	if len(rows) > 0 {
		printTable("Records in Redis: how much memory do they take?", []string{lost, fmt.Sprintf("Measured with %s finished records with a "+
			"key of 35 bytes. MEMORY USAGE leaves out the hash tables that find records and know when they expire. Aims for MEMORY USAGE: "+
			"200 bytes where keys are hidden, 260 bytes where they and the method are readable.", thousands(redisRecords))},
			[]string{"", "used_memory per record", "MEMORY USAGE"}, rows)
	}

	return nil
}

// indexSets is how many sets an index of redisstore has at most.
const indexSets = 16

// weight is the memory of a record, in bytes.
type weight struct {
	entry float64 // of its key alone, as reported by the server
	whole float64 // of the server's memory
}

// weighRedis fills a Redis with records of a kind.
func weighRedis(ctx context.Context, size int, kind recordKind) (w weight, err error) {
	f, err := newRedisFilling(ctx, kind)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, f.stop()) }() //nolint:contextcheck // closing a store takes no context

	if err := f.fill(ctx, 1); err != nil { // connections and scripts
		return w, err
	}

	before, err := f.redis.memory(ctx)
	if err != nil {
		return w, err
	}

	if err := f.fill(ctx, size); err != nil {
		return w, err
	}

	after, err := f.redis.memory(ctx)
	if err != nil {
		return w, err
	}

	// On a slow machine, some runs last until their entries are in the sets of the index.
	if n, err := f.redis.client.DBSize(ctx).Result(); err != nil || n < int64(f.made) || n > int64(f.made+indexSets) {
		return w, errors.Join(fmt.Errorf("%d keys in Redis for %d records", n, f.made), err)
	}

	w.whole = (after - before) / float64(size)
	w.entry, err = f.entry(ctx)

	return w, err
}

// redisFilling is a Redis that is filled with finished records.
type redisFilling struct {
	redis *redisServer
	store *redisstore.Store
	kind  recordKind
	made  int
}

func newRedisFilling(ctx context.Context, kind recordKind) (*redisFilling, error) {
	server, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}

	// Filling keeps the machine busy for a minute, so operations need a long timeout.
	records, err := redisstore.Open("redis://"+server.addr, redisstore.WithTimeout(time.Minute)) //nolint:contextcheck // it takes no context
	if err != nil {
		server.stop()

		return nil, err
	}

	return &redisFilling{redis: server, store: records, kind: kind}, nil
}

func (f *redisFilling) stop() error {
	err := f.store.Close()
	f.redis.stop()

	return err
}

// fill adds records.
func (f *redisFilling) fill(ctx context.Context, records int) error {
	const writers = 256

	base := f.made
	f.made += records

	_, err := measure(writers, records, func(i int) error { return f.add(ctx, base+i) })

	return err
}

// add claims and completes the n-th record.
func (f *redisFilling) add(ctx context.Context, n int) error {
	op := store.Claim{Method: f.kind.method, Lease: 15 * time.Second, MaxRun: 25 * time.Second, Retention: 24 * time.Hour}

	binary.BigEndian.PutUint64(op.Key[:], scrambled(n))
	binary.BigEndian.PutUint64(op.Key[8:], uint64(n))  //nolint:gosec // not negative
	binary.BigEndian.PutUint64(op.Token[:], uint64(n)) //nolint:gosec // not negative
	op.Fingerprint.Scheme = 1

	if f.kind.keys {
		op.ReadableKey = newKey(n)
	}

	claimed, err := f.store.Claim(ctx, op)
	if err != nil {
		return err
	}

	completed, err := f.store.Complete(ctx, store.Completion{Key: op.Key, Token: op.Token})
	if err == nil && (!claimed.Applied || !completed.Applied) {
		err = errors.New("a fresh key is not free")
	}

	return err
}

// entry returns the memory of a record's key, as reported by the server: the median of some records.
func (f *redisFilling) entry(ctx context.Context) (float64, error) {
	usages := make([]float64, 1_000)

	for i := range usages {
		name, err := f.redis.client.RandomKey(ctx).Result()
		if err != nil {
			return 0, err
		}

		bytes, err := f.redis.client.MemoryUsage(ctx, name).Result()
		if err != nil {
			return 0, err
		}

		usages[i] = float64(bytes)
	}

	return middle(usages), nil
}

// redisFilled measures a claim and its completion among many records, and among few.
func (c *config) redisFilled(ctx context.Context) (err error) {
	const (
		few   = 10_000
		calls = 1_000
	)

	sizes := []int{few, redisRecords}
	if c.large {
		sizes = append(sizes, 5_000_000)
	}

	var fillings []*redisFilling

	defer func() { //nolint:contextcheck // as above
		for _, f := range fillings {
			err = errors.Join(err, f.stop())
		}
	}()

	variants := make([]variant, len(sizes))

	for i, size := range sizes {
		var f *redisFilling

		variants[i] = timed(variant{
			way: thousands(size) + " records",
			start: func() (func(int) error, error) {
				if f == nil {
					var err error
					if f, err = newRedisFilling(ctx, recordKind{method: unaryCall, keys: true}); err != nil {
						return nil, err
					}

					fillings = append(fillings, f)
				}

				// Exclude the records that the rounds add.
				if size == few {
					f.made = 0
					if err := f.redis.client.FlushAll(ctx).Err(); err != nil {
						return nil, err
					}
				}

				if err := f.fill(ctx, max(size-f.made, 0)); err != nil {
					return nil, err
				}

				base := f.made
				f.made += calls

				return func(i int) error { return f.add(ctx, base+i) }, nil
			},
		}, calls)
	}

	return c.play(ctx, &contest{
		id: "redis-filling", question: "Records in Redis: do operations take longer as it fills?",
		lost: func(of func(string) row) string {
			return fmt.Sprintf("A claim and its completion take %s times as long around %s records as around %s.",
				ratio(of(thousands(redisRecords)+" records").times(thousands(few)+" records", latency)), thousands(redisRecords), thousands(few))
		},
		about:   "Aim: at most 1.1 times as long.",
		callers: 1, calls: calls,
		columns: []column{
			times("of the time around 10,000 records", thousands(few)+" records", latency),
			figure("claim and completion, median", wholeMicros, latency),
		},
		variants: variants,
	})
}
