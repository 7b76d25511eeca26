// Command bench measures what onlyonce costs, side by side with gRPC on its own, and prints Markdown tables.
//
//	go run ./bench
//
// The variants of a table take turns in every round, in another order each time, so that whatever else the machine does
// falls on all of them. The figures are medians over the rounds; a ratio or a difference is the median of those within
// the rounds. Compare figures of one run alone: the machine matters more than the code.
//
// To see where time and memory go, choose one variant by "table/variant" and write profiles:
//
//	go run ./bench -run '10,000 live.*/first call' -rounds 100 -cpuprofile cpu.out -memprofile mem.out
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"syscall"
)

// config is what the command line says.
type config struct {
	rounds     int
	large      bool
	sqlRecords int
	run        *regexp.Regexp
	cpuProfile string
	memProfile string

	serverProfile string
}

func main() {
	if served, err := serveInstead(); served {
		exit(err)
	}

	c := config{run: regexp.MustCompile("")}

	flag.IntVar(&c.rounds, "rounds", 7, "how often each variant is measured, after one round that does not count")
	flag.BoolVar(&c.large, "large", false, "fill memstore with 10 million records and Redis with 5 million, too; needs 6 GB")
	flag.IntVar(&c.sqlRecords, "sql-records", 1_000_000, "how many records fill the table in PostgreSQL; 10000000 takes 5 GB of disk")
	flag.Func("run", "measure only what matches this `regexp`, as table/variant", func(text string) (err error) {
		c.run, err = regexp.Compile(text)

		return err
	})
	flag.StringVar(&c.cpuProfile, "cpuprofile", "", "write a CPU profile to this `file`")
	flag.StringVar(&c.serverProfile, "serverprofile", "",
		"write a CPU profile of the process of the servers to this `file`; the Redis tables have one")
	flag.StringVar(&c.memProfile, "memprofile", "", "write a profile of all allocations to this `file`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := c.profiled(ctx)

	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}

	os.Exit(0)
}

// profiled measures, and writes the profiles that are asked for.
func (c *config) profiled(ctx context.Context) error {
	if c.memProfile != "" {
		runtime.MemProfileRate = 512
	}

	stop, err := startCPUProfile(c.cpuProfile)
	if err != nil {
		return err
	}

	if err := errors.Join(c.measureAll(ctx), stop()); err != nil || c.memProfile == "" {
		return err
	}

	file, err := os.Create(c.memProfile)
	if err != nil {
		return err
	}

	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}

// startCPUProfile writes to the file of that name, if there is one, until stop is called.
func startCPUProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}

	file, err := os.Create(name) //nolint:gosec // it is for the user to say where
	if err != nil {
		return nil, err
	}

	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}

	return func() error {
		pprof.StopCPUProfile()

		return file.Close()
	}, nil
}

func (c *config) measureAll(ctx context.Context) error {
	fmt.Fprintf(os.Stdout, "%s, %s/%s, %d CPUs; medians of %d rounds\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), c.rounds)

	for _, measure := range []func(context.Context) error{
		c.wholeCalls, c.serverAlone, c.clientAlone, c.retries, c.memory,
		c.redisCalls, c.redisMemory, c.sqlCalls,
		c.fingerprints,
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}

	return nil
}
