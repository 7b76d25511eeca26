//go:build unix

package redistest

import (
	"fmt"
	"testing"
	"time"
)

// patience is how long anything may take. What takes longer does not happen.
const patience = 30 * time.Second

// interval is how often it is looked at.
const interval = 10 * time.Millisecond

// wait returns when a condition holds, which it does when it returns no error.
func wait(tb testing.TB, what string, condition func() error) {
	tb.Helper()

	if err := poll(condition, nil); err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}

// poll returns when a condition holds, with its last error if it does not within patience, or not before given up.
func poll(condition func() error, givenUp <-chan struct{}) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	deadline := time.NewTimer(patience)
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
			return fmt.Errorf("not within %v: %w", patience, err)
		}
	}
}
