package pages

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Payout is the job of docs/jobs.md.
func Payout(
	ctx context.Context, engine *onlyonce.Engine, day time.Time, date string, pay func(context.Context) ([]byte, error),
) (onlyonce.Result, error) {
	key, err := onlyonce.KeyFrom("payout", day.Format(time.DateOnly)) // payout-2026-11-29
	if err != nil {
		return onlyonce.Result{}, err
	}

	result, err := engine.Do(ctx, onlyonce.Call{Method: "payout", Key: key, Request: []byte(date)}, pay)

	return result, err
}
