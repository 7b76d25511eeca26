package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if served, err := serveInstead(); served {
		exit(err)
	}

	goleak.VerifyTestMain(m)
}
