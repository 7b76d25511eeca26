package interceptor

import (
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// Stores return times in their local time zone.
func TestExecutedAtIsInUTC(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 1, 2, 3, 456, time.FixedZone("east", 2*60*60))

	if got := executedAt(&onlyonce.Reply{ExecutedAt: at}); got != "2026-02-28T23:02:03Z" {
		t.Errorf("got %q", got)
	}

	if got := executedAt(&onlyonce.Reply{}); got != "" {
		t.Errorf("got %q for a time that is not known", got)
	}
}
