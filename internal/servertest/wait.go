package servertest

import (
	"fmt"
	"testing"
	"time"
)

// Patience is how long anything may take. What takes longer does not happen.
const Patience = 2 * time.Minute

// interval is how often it is looked at.
const interval = 10 * time.Millisecond

// Wait returns when a condition holds, which it does when it returns no error.
func Wait(tb testing.TB, what string, condition func() error) {
	tb.Helper()

	if err := Poll(condition, nil); err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}

// Poll returns when a condition holds, with its last error if it does not within patience, or not before given up.
func Poll(condition func() error, givenUp <-chan struct{}) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	deadline := time.NewTimer(Patience)
	defer deadline.Stop()

	for {
		err := condition()
		if err == nil {
			return nil
		}

		select {
		case <-ticker.C:
		case <-givenUp:
			return err
		case <-deadline.C:
			return fmt.Errorf("not within %v: %w", Patience, err)
		}
	}
}
