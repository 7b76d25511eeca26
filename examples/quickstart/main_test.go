package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheQuickStartPrintsWhatTheReadmeShows(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer

	run(t.Context(), &out)

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(string(readme), "```text\n"+out.String()+"```\n") {
		t.Errorf("README.md does not show this output:\n%s", out.String())
	}

	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}

	if _, file, ok := strings.Cut(string(source), "package main\n"); !ok || !strings.Contains(string(readme), "```go\npackage main\n"+file+"```\n") {
		t.Error("README.md does not show main.go as it is")
	}
}
