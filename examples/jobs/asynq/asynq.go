// Package asynq runs a task of github.com/hibiken/asynq once, whoever enqueues it and however often asynq processes it.
package asynq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/onlyonce-go/onlyonce/examples/jobs"
)

// TypePayout is the type of the tasks. The payload is a day, such as "2026-11-29".
const TypePayout = "payout"

// later is the error of a task that has run nothing and comes back.
type later struct {
	error
	delay time.Duration
}

func (l *later) Unwrap() error { return l.error }

// Config returns the part of the server's configuration that the handler needs.
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

// Handler processes the tasks.
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
			return fmt.Errorf("%w: %w", asynq.SkipRetry, err) // it is archived
		case jobs.Done, jobs.Retry:
			return err
		default:
			return err
		}
	}
}
