package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(partVariable) != "" {
		if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "consumer:", err)
			os.Exit(1)
		}

		return
	}

	goleak.VerifyTestMain(m)
}

// The demo with few messages: with the kit nothing is lost or doubled, and without it something is.
func TestTheChainConvergesAlthoughItsProcessesAreKilled(t *testing.T) {
	var out strings.Builder

	if err := run(t.Context(), []string{"demo", "-messages", "60"}, &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}

	if !strings.HasSuffix(out.String(), "\nresult messages=60 effects=60 doubled=0 missing=0\n") {
		t.Errorf("the demo ends with:\n%s", out.String())
	}

	// A message at two positions shows that the consumers go by the id. A restored database shows that every run has the same id.
	if !regexp.MustCompile(`(?m)^with the kit .* sent again: [1-9]`).MatchString(out.String()) {
		t.Errorf("no message was sent again:\n%s", out.String())
	}

	if strings.Contains(out.String(), "without the kit  messages=60 effects=60 doubled=0 missing=0") {
		t.Errorf("nothing goes wrong without the kit:\n%s", out.String())
	}
}

func TestWrongCommandsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"nothing"}, {"demo", "-messages", "0"}, {"demo", "more"}} {
		if err := run(t.Context(), args, new(strings.Builder)); err == nil {
			t.Errorf("%q is not refused", args)
		}
	}
}
