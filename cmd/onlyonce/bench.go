package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onlyonce-go/onlyonce/operate"
)

func (a *app) benchCommand() *cobra.Command {
	var opts operate.BenchOptions

	cmd := &cobra.Command{
		Use:   "bench [STORE_URL]",
		Short: "Measure the speed of a store",
		Long: `Bench claims and completes new keys as fast as it can, for one minute or
--duration. Then it removes its records. Records that it cannot remove expire
after 10 minutes. Bench puts a full load on the store: do not run it while the
store serves important traffic.`,
		Example: `  onlyonce bench redis://localhost:6379
  onlyonce bench sqlite:records.db --duration 10s --callers 1 --json`,
		Args: cobra.MaximumNArgs(1),
	}

	flags := cmd.Flags()
	flags.DurationVar(&opts.Duration, "duration", operate.DefaultBenchDuration, "how long to measure")
	flags.IntVar(&opts.Callers, "callers", operate.DefaultBenchCallers, "number of concurrent callers")
	flags.IntVar(&opts.Outcome, "bytes", 0, "size of each answer, in bytes")

	cmd.RunE = does(func(ctx context.Context, args []string) error {
		const most = 10_000
		if opts.Duration <= 0 || opts.Callers <= 0 || opts.Callers > most || opts.Outcome < 0 || opts.Outcome > mostOutcome {
			return usagef("flag out of range: --duration must be positive, --callers 1 to %d, --bytes 0 to %d", most, mostOutcome)
		}

		if err := a.storeArgument(args); err != nil {
			return err
		}

		records, err := a.open() //nolint:contextcheck // opening takes none: it is bounded by --timeout
		if err != nil {
			return err
		}
		defer records.close()

		if a.live && !a.json {
			opts.Progress = a.progress
		}

		result, err := operate.Bench(ctx, records.Store, opts)
		if err != nil {
			return err
		}

		if opts.Progress != nil {
			fmt.Fprint(a.err, "\r\x1b[K")
		}

		return a.printBench(&result)
	})

	return cmd
}

// progress redraws the progress bar.
func (a *app) progress(p operate.Progress) {
	const width = 30

	done := int(width * float64(p.Done) / float64(p.Duration))
	bar := strings.Repeat("#", done) + strings.Repeat(".", width-done)
	text := fmt.Sprintf("[%s] %s of %s, %s calls", bar, span(p.Done), span(p.Duration), count(float64(p.Calls)))

	if p.Errors > 0 {
		text += fmt.Sprintf(", %d errors", p.Errors)
	}

	if p.Removing {
		text = "removing the records…"
	}

	fmt.Fprint(a.err, "\r\x1b[K"+text)
}

// benchView is the JSON form of a measurement. Durations are in seconds.
type benchView struct {
	Duration   float64         `json:"duration_seconds"`
	Callers    int             `json:"callers"`
	Calls      int64           `json:"calls"`
	Rate       float64         `json:"calls_per_second"`
	Call       percentilesView `json:"call"`
	Claim      percentilesView `json:"claim"`
	Completion percentilesView `json:"completion"`
	Errors     int64           `json:"errors"`
	FirstError string          `json:"first_error,omitempty"`
	Left       int64           `json:"records_left"`
}

type percentilesView struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func viewPercentiles(p operate.Percentiles) percentilesView {
	return percentilesView{p.P50.Seconds(), p.P90.Seconds(), p.P99.Seconds(), p.P999.Seconds(), p.Max.Seconds()}
}

// printBench prints a measurement. It returns an error if calls failed.
func (a *app) printBench(r *operate.Result) error {
	var failed error
	if r.Errors > 0 {
		failed = fmt.Errorf("%d calls failed; first error: %w", r.Errors, r.FirstError)
	}

	if a.json {
		v := benchView{
			Duration: r.Duration.Seconds(), Callers: r.Callers, Calls: r.Calls, Rate: r.Rate, Call: viewPercentiles(r.Call),
			Claim: viewPercentiles(r.Claim), Completion: viewPercentiles(r.Completion), Errors: r.Errors, Left: r.Left,
		}

		if r.FirstError != nil {
			v.FirstError = a.clean(r.FirstError.Error())
		}

		if err := a.printJSON(v); err != nil {
			return err
		}

		return failed
	}

	a.printf("%s calls in %s by %d callers: %s per second\n", count(float64(r.Calls)), span(r.Duration), r.Callers, count(r.Rate))

	t := table{head: []string{"", "MEDIAN", "90 %", "99 %", "99.9 %", "LONGEST"}}

	for _, row := range []struct {
		name string
		p    operate.Percentiles
	}{{"claim", r.Claim}, {"completion", r.Completion}, {"both", r.Call}} {
		t.add(nil, row.name, brief(row.p.P50), brief(row.p.P90), brief(row.p.P99), brief(row.p.P999), brief(row.p.Max))
	}

	a.printTable(&t)

	if r.Left > 0 {
		a.printf("\n%d records could not be removed. They expire within 10 minutes.", r.Left)
	}

	return failed
}

// brief formats a duration with three digits.
func brief(d time.Duration) string {
	const digits = 1000

	unit := time.Nanosecond
	for d/unit >= digits {
		unit *= 10
	}

	return d.Round(unit).String()
}
