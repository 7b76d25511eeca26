//go:build unix

package servertest

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// parentEnv makes the test binary a parent, which the test kills.
const parentEnv = "ONLYONCE_SERVERTEST_PARENT"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(parentEnv); ok {
		os.Exit(parentMain())
	}

	goleak.VerifyTestMain(m)
}
