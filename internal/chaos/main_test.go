package chaos_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// defaultRuns is how many runs the tests make, and within how many each broken part must be found.
const defaultRuns = 400

var (
	firstSeed = flag.Uint64("seed", 1, "the seed of the first run; each further run has the next")
	runs      = flag.Int("runs", defaultRuns, "how many runs TestRandomRuns makes")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
