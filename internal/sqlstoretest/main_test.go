package sqlstoretest_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// TestMain lets many tests run at once: most of them wait for a database.
func TestMain(m *testing.M) {
	flag.Parse()

	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(sqltest.Shared(m), goleak.Cleanup(os.Exit))
}
