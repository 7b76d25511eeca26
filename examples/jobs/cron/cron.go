// Package cron runs a job by the clock, in any number of processes: github.com/robfig/cron, or a time.Ticker.
package cron

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/onlyonce-go/onlyonce/examples/jobs"
)

// CatchUp is how many days are paid out if the schedulers have been down. It is much shorter than [jobs.Retention].
const CatchUp = 7

// Schedule pays out at 2:00 for the days before. The time is far from midnight: the clocks of all processes agree on the day.
func Schedule(ctx context.Context, c *cron.Cron, payouts *jobs.Payouts) error {
	_, err := c.AddFunc("0 2 * * *", func() { log(ctx, PayOut(ctx, time.Now().In(c.Location()), payouts)) })

	return err
}

// Tick pays out at every tick of a ticker until ctx ends. It needs no library: a day that is paid costs one lookup.
func Tick(ctx context.Context, ticks <-chan time.Time, payouts *jobs.Payouts) {
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks:
			log(ctx, PayOut(ctx, now.UTC(), payouts))
		}
	}
}

// PayOut pays out for the last days. Days that are paid are replays. A day that fails does not stop the others: the next tick tries it
// again, with the same key.
func PayOut(ctx context.Context, now time.Time, payouts *jobs.Payouts) error {
	var errs []error

	for _, day := range Days(now, CatchUp) {
		if _, err := payouts.Run(ctx, day); err != nil {
			errs = append(errs, err)
		}
	}

	return errors.Join(errs...)
}

// Days returns the last n days that are over, the oldest first.
func Days(now time.Time, n int) []time.Time {
	days := make([]time.Time, 0, n)

	for back := n; back > 0; back-- {
		days = append(days, time.Date(now.Year(), now.Month(), now.Day()-back, 0, 0, 0, 0, now.Location()))
	}

	return days
}

func log(ctx context.Context, err error) {
	if err != nil {
		slog.WarnContext(ctx, "payouts are not complete, the next tick tries again", "error", err)
	}
}
