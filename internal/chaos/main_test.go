package chaos_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// defaultRuns is how many runs the tests make, and within how many each broken part must be found.
const defaultRuns = 400

var (
	firstSeed = flag.Uint64("seed", 1, "the seed of the first run; each further run has the next")
	runs      = flag.Int("runs", defaultRuns, "how many runs TestRandomRuns makes")
	sqlRuns   = flag.Int("sql-runs", 1, "how many runs the tests on each SQL database make, of each kind")
	redisRuns = flag.Int("redis-runs", 8, "how many runs TestRandomRunsOnRedis makes")
)

// TestMain raises the number of parallel tests, because runs in real time mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()

	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(sqltest.Shared(m))
}
