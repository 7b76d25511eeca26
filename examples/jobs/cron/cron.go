// Package cron runs a job at fixed times in any number of processes, with github.com/robfig/cron or a time.Ticker.
package cron

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/onlyonce-go/onlyonce/examples/jobs"
)

// CatchUp is the number of past days to pay out after the schedulers were down. It must be much shorter than [jobs.Retention].
const CatchUp = 7

// Schedule pays out at 2:00 for the days before. This is far from midnight, so that the clocks of all processes agree on the day.
func Schedule(ctx context.Context, c *cron.Cron, payouts *jobs.Payouts) error {
	_, err := c.AddFunc("0 2 * * *", func() { log(ctx, PayOut(ctx, time.Now().In(c.Location()), payouts)) })

	return err
}

// Tick pays out at every tick until ctx ends. It needs no library. A day that is paid costs one lookup.
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

// PayOut pays out for the last days. Paid days are replays. A failed day does not stop the others; the next tick retries it with the same
// key.
func PayOut(ctx context.Context, now time.Time, payouts *jobs.Payouts) error {
	var errs []error

	for _, day := range Days(now, CatchUp) {
		if _, err := payouts.Run(ctx, day); err != nil {
			errs = append(errs, err)
		}
	}

	return errors.Join(errs...)
}

// Days returns the last n complete days, oldest first.
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
