package main

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
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

	for i := range seen {
		if n, err := strconv.Atoi(i[1:]); err != nil || n < 1 || n > len(seen) {
			t.Errorf("row %s is one of %d rows: a row before it is missing", i, len(seen))
		}
	}
}
