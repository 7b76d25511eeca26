package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThePageOfFaultsIsUpToDate(t *testing.T) {
	t.Parallel()

	var want bytes.Buffer
	if err := write(&want, "../.."); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/faults.md does not list the tests that there are: run go run ./internal/faultrows > docs/faults.md")
	}
}

func TestEveryRowIsListedOnce(t *testing.T) {
	t.Parallel()

	seen := make(map[string]bool)

	for _, r := range rows() {
		if seen[r.number] || !regexp.MustCompile(`^F\d\d$`).MatchString(r.number) {
			t.Errorf("row %q is listed twice, or has no number", r.number)
		}

		seen[r.number] = true
	}

	if len(seen) != 87 {
		t.Errorf("%d rows, want 87", len(seen))
	}
}
