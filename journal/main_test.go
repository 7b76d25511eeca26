//go:build unix

package journal

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes the test binary a process to kill, if a test has started it as one.
func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		child(path, os.Getenv(childPoint))
	}

	goleak.VerifyTestMain(m)
}
