package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

var (
	errTimeout  = errors.New("the provider does not answer")
	errDeclined = errors.New("the card is declined")
)

// provider stands for a service that makes payments. It answers from the third attempt on.
type provider struct{ attempts int }

func (p *provider) charge(_ context.Context, card string) (string, error) {
	p.attempts++

	switch {
	case p.attempts < 3:
		return "", errTimeout
	case card == "":
		return "", retry.Permanent(errDeclined) // another attempt is useless
	default:
		return "charged " + card, nil
	}
}

// A call is retried until it succeeds, or until its error is permanent.
func Example() {
	policy := retry.Policy{
		MaxAttempts: 4,
		BaseDelay:   time.Millisecond, // the delays are random: up to 1, 2 and 4 ms
		MaxElapsed:  time.Minute,
	}

	for _, card := range []string{"card 4711", ""} {
		p := new(provider)

		receipt, err := retry.Do(context.Background(), policy, retry.Options{},
			func(ctx context.Context, _ int) (string, error) { return p.charge(ctx, card) })

		fmt.Printf("%d attempts: %q, %v\n", p.attempts, receipt, err)
	}

	// Output:
	// 3 attempts: "charged card 4711", <nil>
	// 3 attempts: "", the card is declined
}
