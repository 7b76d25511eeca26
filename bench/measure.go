package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// contest is one table: variants that are measured in turns.
type contest struct {
	title   string
	aim     string // what the figures are compared with; not asserted
	callers int
	calls   int // per round and variant
	// prepare is called before the first round, if anything of the contest is measured. It may be nil.
	prepare func() error
	// columns are those of one variant, given the samples of those that it is compared with and of the first one.
	columns func(own, base, beside, first []sample) []string
	// named is columns for contests that know more of a variant than its samples. It may be nil.
	named func(name string, own, base []sample) []string
	heads []string

	variants []variant
}

// variant is one way to make a call.
type variant struct {
	name string
	// against is the name of the variant that this one is compared with; the first one where it is empty.
	against string
	// beside is the name of another one that this one is compared with; the first one where it is empty.
	beside string
	// start prepares a round, unmeasured, and returns what is measured: the i-th call of the round.
	start func() (func(i int) error, error)
	// finish adds to the sample of a round what cannot be seen from here. It may be nil.
	finish func(*sample) error
}

// always is the start of a variant that needs no preparation.
func always(call func(i int) error) func() (func(i int) error, error) {
	return func() (func(i int) error, error) { return call, nil }
}

// sample is what one call cost on average, in one round.
type sample struct {
	nanos, bytes, allocs float64
	// Of some contests alone: nanoseconds from its beginning to its end, for half of the calls or less, and nanoseconds of the
	// CPUs in the process of the server and in that of Redis.
	latency, cpu, redisCPU float64
}

// play measures a contest and prints its table.
func (c *config) play(ctx context.Context, t *contest) error {
	chosen := slices.DeleteFunc(slices.Clone(t.variants), func(v variant) bool {
		return !c.run.MatchString(t.title + "/" + v.name)
	})
	if len(chosen) == 0 {
		return nil
	}

	if t.prepare != nil {
		if err := t.prepare(); err != nil {
			return err
		}
	}

	samples := make([][]sample, len(chosen))

	for round := range c.rounds + 1 {
		for turn := range chosen {
			if err := ctx.Err(); err != nil {
				return err
			}

			i := (turn + round) % len(chosen)

			call, err := chosen[i].start()
			if err != nil {
				return fmt.Errorf("%s: %w", chosen[i].name, err)
			}

			got, err := measure(t.callers, t.calls, call)
			if err == nil && chosen[i].finish != nil {
				err = chosen[i].finish(&got)
			}

			if err != nil {
				return fmt.Errorf("%s: %w", chosen[i].name, err)
			}

			if round > 0 { // the first one warms up
				samples[i] = append(samples[i], got)
			}
		}
	}

	rows := make([][]string, len(chosen))
	for i, v := range chosen {
		of := func(name string) []sample {
			return samples[max(slices.IndexFunc(chosen, func(other variant) bool { return other.name == name }), 0)]
		}

		if t.named != nil {
			rows[i] = append([]string{v.name}, t.named(v.name, samples[i], of(v.against))...)
		} else {
			rows[i] = append([]string{v.name}, t.columns(samples[i], of(v.against), of(v.beside), samples[0])...)
		}
	}

	printTable(t.title, t.aim, append([]string{""}, t.heads...), rows)

	return nil
}

// measure makes calls from so many callers at once.
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

	runtime.GC() // what others have left behind is not ours
	runtime.ReadMemStats(&before)

	began := time.Now()

	for range callers - 1 {
		wg.Go(caller)
	}

	caller()
	wg.Wait()

	took := time.Since(began)

	runtime.ReadMemStats(&after)

	if err := failed.Load(); err != nil {
		return sample{}, *err
	}

	n := float64(calls)

	return sample{
		nanos:  float64(took.Nanoseconds()) / n,
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / n,
		allocs: float64(after.Mallocs-before.Mallocs) / n,
	}, nil
}

// overhead is what a call costs, and how much more than the baseline.
func overhead(own, base, _, _ []sample) []string {
	nanos := func(s sample) float64 { return s.nanos }
	allocs := func(s sample) float64 { return s.allocs }

	return []string{
		fmt.Sprintf("%.0f ns", median(own, nanos)),
		fmt.Sprintf("%+.0f ns", medianOf(own, base, nanos, minus)),
		fmt.Sprintf("%.0f B", median(own, func(s sample) float64 { return s.bytes })),
		fmt.Sprintf("%.1f", median(own, allocs)),
		fmt.Sprintf("%+.1f", medianOf(own, base, allocs, minus)),
	}
}

func overheadHeads(baseline string) []string {
	return []string{"time", "over " + baseline, "memory", "allocations", "over " + baseline}
}

// throughput is how many calls there are in a second, and which part of the baseline's that is.
func throughput(own, base, _, _ []sample) []string {
	perSecond := func(s sample) float64 { return float64(time.Second) / s.nanos }

	return []string{
		fmt.Sprintf("%.1f µs", median(own, func(s sample) float64 { return s.nanos / 1000 })),
		fmt.Sprintf("%.0f", median(own, perSecond)),
		fmt.Sprintf("%.2f", medianOf(own, base, perSecond, dividedBy)),
		fmt.Sprintf("%.0f", median(own, func(s sample) float64 { return s.allocs })),
	}
}

func throughputHeads() []string {
	return []string{"time per call", "calls/s", "of gRPC's own", "allocations, both sides"}
}

func minus(a, b float64) float64 { return a - b }

func dividedBy(a, b float64) float64 { return a / b }

// medianOf compares variants round by round.
func medianOf(own, base []sample, value func(sample) float64, compare func(own, base float64) float64) float64 {
	compared := make([]float64, len(own))
	for i := range own {
		compared[i] = compare(value(own[i]), value(base[i]))
	}

	return middle(compared)
}

func median[T any](all []T, value func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, one := range all {
		values[i] = value(one)
	}

	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)

	n := len(values)

	return (values[(n-1)/2] + values[n/2]) / 2
}

func printTable(title, aim string, heads []string, rows [][]string) {
	out := new(strings.Builder)
	fmt.Fprintf(out, "\n### %s\n\n", title)

	if aim != "" {
		fmt.Fprintf(out, "%s\n\n", aim)
	}

	line := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }

	line(heads)
	line(append([]string{"---"}, slices.Repeat([]string{"---:"}, len(heads)-1)...))

	for _, cells := range rows {
		line(cells)
	}

	fmt.Fprint(os.Stdout, out.String())
}
