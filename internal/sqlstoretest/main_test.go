package sqlstoretest_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// races is how often a race is run.
var races = flag.Int("races", 50, "how many rounds TestF18OfACompletionAndATakeoverOnTwoConnectionsExactlyOneWins has")

// TestMain lets many tests run at once: most of them wait for a database.
func TestMain(m *testing.M) {
	if is, err := migrateAsChild(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	defineInterrupt()
	flag.Parse()

	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(sqltest.Shared(m), goleak.Cleanup(os.Exit))
}
