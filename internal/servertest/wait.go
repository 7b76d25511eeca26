package servertest

import (
	"fmt"
	"testing"
	"time"
)

// Patience is the time limit for anything in tests: 2 minutes.
const Patience = 2 * time.Minute

// interval is the time between two checks of a condition.
const interval = 10 * time.Millisecond

// Wait waits until condition returns nil. It fails the test after Patience. What names the condition.
func Wait(tb testing.TB, what string, condition func() error) {
	tb.Helper()

	if err := Poll(condition, nil); err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}

// Poll waits until condition returns nil. It returns the last error after Patience, or when givenUp is closed.
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
