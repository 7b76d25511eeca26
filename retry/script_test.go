package retry_test

import (
	"context"
	"errors"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

var (
	errFirst  = errors.New("first failure")
	errSecond = errors.New("second failure")
	errOwn    = errors.New("caller changed its mind")
)

// script is an operation that plays one step per attempt. The last step repeats. It records the start of each attempt.
type script struct {
	began time.Time
	steps []func(context.Context) error

	starts   []time.Duration // after the first attempt began
	observed []retry.Attempt
}

func play(steps ...func(context.Context) error) *script {
	return &script{steps: steps}
}

func (s *script) op(ctx context.Context, attempt int) (int, error) {
	if s.starts == nil {
		s.began = time.Now()
	}

	s.starts = append(s.starts, time.Since(s.began))

	return attempt, s.steps[min(attempt, len(s.steps))-1](ctx)
}

func (s *script) observe(a retry.Attempt) {
	s.observed = append(s.observed, a)
}

// options observe, and retry everything after the delay given.
func (s *script) options(delay time.Duration) retry.Options {
	return retry.Options{
		Observe: s.observe,
		Classify: func(retry.Attempt) retry.Decision {
			return retry.Decision{Retry: true, HasDelay: true, Delay: delay}
		},
	}
}

func (s *script) last() retry.Attempt {
	return s.observed[len(s.observed)-1]
}

func succeed(context.Context) error { return nil }

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// after fails late, deaf to its context.
func after(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)

		return err
	}
}

// hang waits for the end of its context.
func hang(ctx context.Context) error {
	<-ctx.Done()

	return ctx.Err()
}
