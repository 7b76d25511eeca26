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

// flood is how many keys a caller floods a process with.
var flood = flag.Int("flood", 10_000, "how many keys TestF45KeyFloodFromOneCaller uses")

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
