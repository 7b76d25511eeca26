package onceconnect_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(storeAddress) != "" { // a server of a test
		fmt.Fprintln(os.Stderr, serverMain())
		os.Exit(1)
	}

	if os.Getenv(shopURL) != "" { // a client of a test
		fmt.Fprintln(os.Stderr, clientMain())
		os.Exit(1)
	}

	goleak.VerifyTestMain(m)
}
