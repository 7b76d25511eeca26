// Package asynq runs a task of github.com/hibiken/asynq once, however often it is enqueued or processed.
package asynq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/onlyonce-go/onlyonce/examples/jobs"
)

// TypePayout is the task type. The payload is a day, such as "2026-11-29".
const TypePayout = "payout"

// later is the error of a task that ran nothing and must be retried.
type later struct {
	error
	delay time.Duration
}

func (l *later) Unwrap() error { return l.error }

// Config returns the server configuration that the handler needs.
func Config() asynq.Config {
	return asynq.Config{
		// An attempt that ran nothing does not count.
		IsFailure: func(err error) bool {
			_, ok := errors.AsType[*later](err)

			return err != nil && !ok
		},
		RetryDelayFunc: func(retried int, err error, task *asynq.Task) time.Duration {
			if later, ok := errors.AsType[*later](err); ok {
				return later.delay
			}

			return asynq.DefaultRetryDelayFunc(retried, err, task)
		},
	}
}

// Handler returns the handler of the tasks.
func Handler(payouts *jobs.Payouts) asynq.HandlerFunc {
	return func(ctx context.Context, task *asynq.Task) error {
		day, err := time.Parse(time.DateOnly, string(task.Payload()))
		if err != nil {
			return fmt.Errorf("%w: %w", asynq.SkipRetry, err)
		}

		_, err = payouts.Run(ctx, day)

		switch next, delay := jobs.After(err); next {
		case jobs.Later:
			return &later{err, delay}
		case jobs.Dead:
			return fmt.Errorf("%w: %w", asynq.SkipRetry, err) // asynq archives the task
		case jobs.Done:
			return nil
		case jobs.Retry:
			return err
		default:
			return err
		}
	}
}
