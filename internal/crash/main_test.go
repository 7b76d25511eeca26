//go:build unix

package crash

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// serverEnv makes the test binary a server. Its value is the serverConfig.
const serverEnv = "ONLYONCE_CRASH_SERVER"

var (
	// flood is how many keys a caller floods a process with.
	flood = flag.Int("flood", 10_000, "how many keys TestF45KeyFloodFromOneCaller uses")
	// kills is how many servers are killed under load, for each store and guarantee.
	kills = flag.Int("kills", 4, "how many servers TestF01F03F05ServersAreKilledAndRestarted kills")
	// unsettled is how many records killed servers leave, in hundreds.
	unsettled = flag.Int("unsettled", 200, "how many records TestF49ReconcilersOfTwoProcesses has to settle, in hundreds")
)

func TestMain(m *testing.M) {
	if encoded, ok := os.LookupEnv(serverEnv); ok {
		os.Exit(serverMain(encoded))
	}

	flag.Parse()

	// Most of the time most tests wait for a lease to end, or for a server to be replaced.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}

	goleak.VerifyTestMain(m)
}
