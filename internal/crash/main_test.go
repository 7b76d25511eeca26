//go:build unix

package crash

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// serverEnv makes the test binary a server. Its value is the serverConfig.
const serverEnv = "ONLYONCE_CRASH_SERVER"

func TestMain(m *testing.M) {
	if encoded, ok := os.LookupEnv(serverEnv); ok {
		os.Exit(serverMain(encoded))
	}

	goleak.VerifyTestMain(m)
}
