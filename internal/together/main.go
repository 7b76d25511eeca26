//go:build unix

// Command together runs shell commands concurrently, with a limit.
//
//	together -jobs 2 'go -C a test ./...' 'go -C b test ./...'
//
// It prints the output of each command in one piece when the command has ended. The output of failed commands comes last, and the last line
// names them. Each command runs in its own process group, so an interrupt ends it with all its children.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	jobs := flag.Int("jobs", runtime.NumCPU(), "how many commands run at the same time")
	flag.Parse()

	if *jobs < 1 || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: together [-jobs N] COMMAND..., with N from 1")
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ok := run(ctx, os.Stdout, *jobs, flag.Args())

	stop()

	if !ok {
		os.Exit(1)
	}
}

// run starts the commands in order. It reports whether all have succeeded.
func run(ctx context.Context, out io.Writer, jobs int, commands []string) (ok bool) {
	results := make(chan result)
	room := make(chan struct{}, jobs)

	go func() {
		defer close(results)

		var running sync.WaitGroup
		defer running.Wait()

		for _, text := range commands {
			room <- struct{}{}

			if ctx.Err() != nil {
				return
			}

			running.Go(func() {
				results <- execute(ctx, text)

				<-room
			})
		}
	}()

	var failed []result

	ended := 0

	for r := range results {
		ended++

		if r.err != nil {
			failed = append(failed, r)
			fmt.Fprintf(out, "-- failed, its output follows below: %s\n", r.command)
		} else {
			r.print(out)
		}
	}

	for _, r := range failed {
		r.print(out)
	}

	return summarize(out, failed, len(commands)-ended)
}

// summarize prints the last lines. It reports whether all commands have succeeded.
func summarize(out io.Writer, failed []result, skipped int) (ok bool) {
	if len(failed) > 0 {
		names := make([]string, 0, len(failed))
		for _, r := range failed {
			names = append(names, "   "+r.command)
		}

		fmt.Fprintf(out, "-- %d failed:\n%s\n", len(failed), strings.Join(names, "\n"))
	}

	if skipped > 0 {
		fmt.Fprintf(out, "-- interrupted: %d did not start\n", skipped)
	}

	return len(failed) == 0 && skipped == 0
}

// result is the result of a command.
type result struct {
	command string
	output  []byte
	err     error
	took    time.Duration
	cpu     time.Duration
}

func (r result) print(out io.Writer) {
	fmt.Fprintf(out, "-- %s\n%s", r.command, r.output)

	if len(r.output) > 0 && r.output[len(r.output)-1] != '\n' {
		fmt.Fprintln(out)
	}

	state := "ok"
	if r.err != nil {
		state = "FAILED (" + r.err.Error() + ")"
	}

	fmt.Fprintf(out, "-- %s in %.0f s, %.0f s of CPU\n", state, r.took.Seconds(), r.cpu.Seconds())
}
