// Package river runs a job of https://riverqueue.com once, however often it is inserted or worked.
package river

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/onlyonce-go/onlyonce/examples/jobs"
)

// PayoutArgs is the job of a day, such as "2026-11-29".
type PayoutArgs struct {
	Day string `json:"day"`
}

// Kind implements [river.JobArgs].
func (PayoutArgs) Kind() string { return "payout" }

// PayoutWorker works the jobs.
type PayoutWorker struct {
	river.WorkerDefaults[PayoutArgs]

	Payouts *jobs.Payouts
}

// Timeout implements [river.Worker]. It must be longer than MaxRun of the policy, and shorter than RescueStuckJobsAfter of the client.
func (w *PayoutWorker) Timeout(*river.Job[PayoutArgs]) time.Duration { return 15 * time.Minute }

// Work implements [river.Worker].
func (w *PayoutWorker) Work(ctx context.Context, job *river.Job[PayoutArgs]) error {
	day, err := time.Parse(time.DateOnly, job.Args.Day)
	if err != nil {
		return river.JobCancel(err)
	}

	_, err = w.Payouts.Run(ctx, day)

	switch next, delay := jobs.After(err); next {
	case jobs.Later:
		return river.JobSnooze(delay) // it does not count as an attempt
	case jobs.Dead:
		return river.JobCancel(err)
	case jobs.Done:
		return nil
	case jobs.Retry:
		return err
	default:
		return err
	}
}
