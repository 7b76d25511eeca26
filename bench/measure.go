package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// sample is the cost of one call in one round. The fields after the first three depend on the table.
type sample struct {
	nanos, bytes, allocs float64 // on average, in this process

	latency  float64 // nanoseconds from its beginning to its end: the median
	slowest  float64 // and the 99th percentile
	cpu      float64 // nanoseconds of the CPUs in the process of the server, or in this one if there is none, on average
	redisCPU float64 // and in Redis

	attempts, succeeded float64 // of a call that is retried, on average

	record  float64 // bytes of a record
	worst   float64 // nanoseconds of the longest operation
	collect float64 // nanoseconds of the CPUs for a collection
}

// ballastSize is the live memory of every process, in bytes, besides the measured memory.
const ballastSize = 64 << 20

// newBallast returns memory without pointers. The runtime collects when the heap has grown by the size of its live
// memory. Without ballast, a server that keeps nothing would be collected much more often than a server with records.
func newBallast() []byte { return make([]byte, ballastSize) }

// readyHeap collects unreachable memory, and then grows the heap until the runtime collects it, twice. After a
// requested collection, the runtime returns free memory to the system. To get it back during a measurement would cost
// up to 20 µs a call.
func readyHeap() {
	const (
		piece = 1 << 20
		page  = 4 << 10
	)

	var stats runtime.MemStats

	runtime.GC()
	runtime.ReadMemStats(&stats)

	for enough := stats.NumGC + 2; stats.NumGC < enough; runtime.ReadMemStats(&stats) {
		garbage := make([]byte, piece)
		for i := 0; i < piece; i += page {
			garbage[i] = 1 // or the system gives no memory
		}
	}
}

// measure makes calls from several callers at once.
func measure(callers, calls int, call func(i int) error) (sample, error) {
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		failed atomic.Pointer[error]

		before, after runtime.MemStats
	)

	caller := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= calls {
				return
			}

			if err := call(i); err != nil {
				failed.CompareAndSwap(nil, &err)

				return
			}
		}
	}

	readyHeap() // excludes the garbage of earlier variants
	runtime.ReadMemStats(&before)

	used, unknown := cpuTime()
	began := time.Now()

	for range callers - 1 {
		wg.Go(caller)
	}

	caller()
	wg.Wait()

	took := time.Since(began)

	if usedAfter, _ := cpuTime(); unknown == nil {
		used = usedAfter - used
	} else {
		used = took
	}

	runtime.ReadMemStats(&after)

	if err := failed.Load(); err != nil {
		return sample{}, *err
	}

	n := float64(calls)

	return sample{
		nanos:  float64(took.Nanoseconds()) / n,
		cpu:    float64(used.Nanoseconds()) / n,
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / n,
		allocs: float64(after.Mallocs-before.Mallocs) / n,
	}, nil
}

// timed also measures the time of every call.
func timed(v variant, calls int) variant {
	took := make([]float64, calls)
	begin, end := v.start, v.finish

	v.start = func() (func(int) error, error) {
		call, err := begin()

		return func(i int) error {
			began := time.Now()
			err := call(i)
			took[i] = float64(time.Since(began))

			return err
		}, err
	}
	v.finish = func(s *sample) error {
		s.latency = middle(took)
		s.slowest = took[len(took)*99/100]

		if end == nil {
			return nil
		}

		return end(s)
	}

	return v
}
