package redisstore_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// races is how often a race is run.
var races = flag.Int("races", 200, "how many rounds TestF18ExactlyOneOfACompletionAndATakeoverWins has")

// TestMain lets many tests run at once: most of them wait for a server.
func TestMain(m *testing.M) {
	flag.Parse()

	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit),
		// A pool that could not connect notices within a second that it was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
