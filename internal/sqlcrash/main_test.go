//go:build unix

package sqlcrash

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// serverEnv makes the test binary a server. Its value is the serverConfig.
const serverEnv = "ONLYONCE_SQLCRASH_SERVER"

var (
	// kills is how many servers are killed under load on PostgreSQL: half as many on MariaDB, and a tenth on SQLite.
	kills = flag.Int("kills", 20, "how many servers are killed and restarted on PostgreSQL")
	// unsettled is how many records killed servers leave, in hundreds.
	unsettled = flag.Int("unsettled", 200, "how many records TestF49ReconcilersOfTwoProcesses has to settle, in hundreds")
)

func TestMain(m *testing.M) {
	if encoded, ok := os.LookupEnv(serverEnv); ok {
		os.Exit(serverMain(encoded))
	}

	if encoded, ok := os.LookupEnv(consumerEnv); ok {
		os.Exit(consumerMain(encoded))
	}

	flag.Parse()

	// Most of the time most tests wait for a lease to end, or for a server to start.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(sqltest.Shared(m), goleak.Cleanup(os.Exit))
}
