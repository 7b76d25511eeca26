package jobs

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Retention is how long the record of a day is kept. It must be longer than anybody may repeat the job of that day. By default, River and
// asynq retry for three weeks.
const Retention = 60 * 24 * time.Hour

// Policy returns the policy of jobs. The queue retries, so a duplicate does not wait in a worker.
func Policy() onlyonce.Policy {
	return onlyonce.Policy{Retention: Retention, MaxRun: 10 * time.Minute, MaxWait: onlyonce.NoWait}
}

// Payouts pays out, once for each day.
type Payouts struct {
	Engine *onlyonce.Engine
	// Pay has the effect. Its context is that of the run, so it can use [onlyonce.DeriveExternal].
	Pay func(ctx context.Context, day time.Time) error
}

// Run pays out for a day. Every call for the same day has the same key, so Pay runs once.
func (p *Payouts) Run(ctx context.Context, day time.Time) (onlyonce.Status, error) {
	date := day.Format(time.DateOnly)

	key, err := onlyonce.KeyFrom("payout", date)
	if err != nil {
		return onlyonce.StatusRejected, err
	}

	call := onlyonce.Call{Method: "payout", Key: key, Request: []byte(date)}

	result, err := p.Engine.Do(ctx, call, func(ctx context.Context) ([]byte, error) { return nil, p.Pay(ctx, day) })

	return result.Status, err
}
