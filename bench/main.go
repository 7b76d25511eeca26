// Command bench measures what onlyonce costs, and prints a page of Markdown: a table for each question, headed by what onlyonce loses.
//
//	go run ./bench > docs/speed.md
//
// The variants of a table take turns in every round, in a new order each time. So other work of the machine affects all of them.
// The figures are medians over the rounds. A ratio or a difference is the median of those within the rounds. Compare only figures of one
// run: the machine matters more than the code.
//
// # Adding a variant
//
// Write an interceptor, and add it to inMemory or inRedis in protections.go. The same server, callers and ballast measure it beside the
// others. Client interceptors are in clientVariants, ways to use a database in sqlRig.variants. A contest has the question and the columns
// of a table.
//
// # Choosing
//
// -run chooses by "table/variant". The command prints the names of the tables to the standard error while it measures them. A column that
// compares with a variant that was not chosen is empty. To see where time and memory go, choose one variant and write profiles:
//
//	go run ./bench -run 'server/onlyonce, first call' -rounds 100 -cpuprofile cpu.out -memprofile mem.out
//	go run ./bench -run 'memory-64/onlyonce, first call' -serverprofile server.out
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"
)

// config has the settings of the command line.
type config struct {
	rounds     int
	large      bool
	sqlRecords int
	run        *regexp.Regexp
	cpuProfile string
	memProfile string

	serverProfile string
}

// wants reports whether one of the variants of a table is chosen.
func (c *config) wants(table string, variants ...string) bool {
	return slices.ContainsFunc(variants, func(name string) bool { return c.run.MatchString(table + "/" + name) })
}

func main() {
	if served, err := serveInstead(); served {
		exit(err)
	}

	c := config{run: regexp.MustCompile("")}

	flag.IntVar(&c.rounds, "rounds", 5, "how often each variant is measured, after one round that does not count")
	flag.BoolVar(&c.large, "large", false, "fill memstore with 10 million records and Redis with 5 million, too; needs 8 GB of memory")
	flag.IntVar(&c.sqlRecords, "sql-records", 500_000, "how many records fill the table in PostgreSQL; 10000000 takes 5 GB of disk")
	flag.Func("run", "measure only what matches this `regexp`, as table/variant", func(text string) (err error) {
		c.run, err = regexp.Compile(text)

		return err
	})
	flag.StringVar(&c.cpuProfile, "cpuprofile", "", "write a CPU profile of this process to this `file`")
	flag.StringVar(&c.serverProfile, "serverprofile", "",
		"write a CPU profile of each server process to this `file`, with the name of its variant at the end")
	flag.StringVar(&c.memProfile, "memprofile", "", "write a profile of all allocations to this `file`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ballast := newBallast()
	err := c.profiled(ctx)

	runtime.KeepAlive(ballast)
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

// profiled measures, and writes the requested profiles.
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

	file, err := os.Create(name) //nolint:gosec // the user chooses the path
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

// introduction is the beginning of the page.
//
//go:embed introduction.md
var introduction string

func (c *config) measureAll(ctx context.Context) error {
	began := time.Now()

	fmt.Fprintf(os.Stdout, "%s\n%s, %s/%s, %d CPUs; medians of %d rounds or more.%s\n", introduction,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), c.rounds, warning(ctx))

	for _, measure := range []func(context.Context) error{
		c.memoryCalls, c.serverAlone, c.httpAlone, c.connectAlone, c.telemetry, c.clientAlone, c.journalCalls, c.fingerprints, c.memory,
		c.redisCalls, c.redisMemory, c.sqlCalls, c.retries,
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}

	fmt.Fprintf(os.Stderr, "measured in %s\n", time.Since(began).Round(time.Second))

	return nil
}
