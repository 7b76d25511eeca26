package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

var errUnavailable = errors.New("unavailable")

func ExampleDo() {
	policy := retry.Policy{BaseDelay: time.Millisecond}

	receipt, err := retry.Do(context.Background(), policy, retry.Options{},
		func(_ context.Context, attempt int) (string, error) {
			if attempt < 3 {
				return "", errUnavailable
			}

			return fmt.Sprintf("paid at attempt %d", attempt), nil
		})

	fmt.Println(receipt, err)
	// Output: paid at attempt 3 <nil>
}

func ExampleDo_deadline() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	options := retry.Options{
		// The server asks for more patience than the caller has.
		Classify: func(retry.Attempt) retry.Decision {
			return retry.Decision{Retry: true, Delay: time.Hour, HasDelay: true}
		},
		Observe: func(a retry.Attempt) { fmt.Println("attempt", a.Number, "stop:", a.Stop) },
	}

	_, err := retry.Do(ctx, retry.Policy{}, options, func(context.Context, int) (int, error) {
		return 0, errUnavailable
	})

	fmt.Println(err)
	// Output:
	// attempt 1 stop: deadline
	// unavailable
}

func ExamplePermanent() {
	errStolen := errors.New("the card is stolen")

	_, err := retry.Do(context.Background(), retry.Policy{}, retry.Options{},
		func(_ context.Context, attempt int) (int, error) {
			fmt.Println("attempt", attempt)

			return 0, retry.Permanent(errStolen)
		})

	fmt.Println(err == errStolen) //nolint:errorlint // the very same error: the mark is off
	// Output:
	// attempt 1
	// true
}

func ExampleInterruptedError() {
	ctx, cancel := context.WithCancel(context.Background())

	options := retry.Options{Observe: func(retry.Attempt) { cancel() }} // the caller goes away meanwhile

	_, err := retry.Do(ctx, retry.Policy{}, options, func(context.Context, int) (int, error) {
		return 0, errUnavailable
	})

	fmt.Println(err)
	fmt.Println(errors.Is(err, errUnavailable), errors.Is(err, context.Canceled))
	// Output:
	// retry: interrupted: context canceled; last error: unavailable
	// true true
}

func ExamplePolicy_Backoff() {
	policy := retry.Policy{BaseDelay: 100 * time.Millisecond, MaxDelay: time.Second}

	for number := 1; number <= 5; number++ {
		fmt.Println(policy.Backoff(number, 0), policy.Backoff(number, 0.5))
	}
	// Output:
	// 0s 50ms
	// 0s 100ms
	// 0s 200ms
	// 0s 400ms
	// 0s 500ms
}

func ExampleBudget() {
	budget, err := retry.NewBudget(4, 0.5)
	if err != nil {
		fmt.Println(err)

		return
	}

	policy := retry.Policy{BaseDelay: time.Nanosecond, Budget: budget}
	options := retry.Options{Observe: func(a retry.Attempt) {
		fmt.Println("attempt", a.Number, "stop:", a.Stop, "tokens:", budget.Tokens())
	}}

	_, err = retry.Do(context.Background(), policy, options, func(context.Context, int) (int, error) {
		return 0, errUnavailable
	})

	fmt.Println(err)
	// Output:
	// attempt 1 stop: none tokens: 3
	// attempt 2 stop: budget tokens: 2
	// unavailable
}
