package oncenats_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable has the configuration of a test's child.
const childVariable = "ONCENATS_TEST_CHILD"

func TestMain(m *testing.M) {
	if config := os.Getenv(childVariable); config != "" {
		if err := runChild(config); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}

		return
	}

	if config := os.Getenv(serverVariable); config != "" {
		if err := runServer(config); err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}

		return
	}

	slog.SetDefault(slog.New(slog.DiscardHandler)) // engines and consumers without their own write to it

	goleak.VerifyTestMain(m)
}
