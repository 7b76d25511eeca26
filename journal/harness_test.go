package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const testTarget = "dns:///payments.test"

var testContext = context.Background()

func testEntry(n int) Entry {
	return Entry{
		Method: "/payments.v1.PaymentService/Pay", Key: fmt.Sprintf("order-%d", n), Target: testTarget, Request: fmt.Appendf(nil, "%d EUR", n),
		Written: time.Unix(1_800_000_000, int64(n)), Deadline: time.Unix(1_800_000_060, 0),
	}
}

func open(t *testing.T, path string, opts ...Option) *Journal {
	t.Helper()

	j, err := Open(path, opts...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}

	t.Cleanup(func() { _ = j.Close() }) // a test may have closed it

	return j
}

func journalPath(t *testing.T) string {
	t.Helper()

	return filepath.Join(t.TempDir(), "calls")
}

func begin(t *testing.T, j *Journal, n int) *Call {
	t.Helper()

	call, err := j.Begin(testContext, testEntry(n))
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}

	return call
}

func withEnvironment(env environment) Option { return func(c *config) { c.env = env } }

// withoutSync is for tests that open many files.
func withoutSync() environment {
	env := realEnvironment()
	env.sync = func(*os.File) error { return nil }

	return env
}

func withCompaction(step int64) Option { return func(c *config) { c.limits.compact = step } }

// keys returns the keys of the calls that are left, oldest first.
func keys(j *Journal) []string {
	left := j.waiting(testTarget)
	found := make([]string, len(left))

	for i := range left {
		found[i] = left[i].Key
	}

	return found
}
