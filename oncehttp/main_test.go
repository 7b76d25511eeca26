package oncehttp_test

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // engines without an observer write to it

	if encoded, ok := os.LookupEnv(childEnv); ok {
		os.Exit(childMain(encoded))
	}

	goleak.VerifyTestMain(m)
}
