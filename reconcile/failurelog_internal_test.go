package reconcile

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// logged returns what f logs, without the times.
func logged(t *testing.T, f func()) string {
	t.Helper()

	var out bytes.Buffer

	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })

	f()

	return regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(out.String(), "")
}

func TestPassesThatFailAreLoggedOnceForEachError(t *testing.T) { //nolint:paralleltest // it replaces slog.Default
	down, full := errors.New("down"), errors.New("full")
	log := new(failureLog)

	got := logged(t, func() {
		for _, err := range []error{nil, down, down, full, nil, nil, full} {
			log.report(Report{Err: err})
		}
	})

	want := `level=WARN msg="onlyonce: reconciling failed" failures=1 error=down
level=WARN msg="onlyonce: reconciling failed" failures=3 error=full
level=INFO msg="onlyonce: reconciling works again" failures=3
level=WARN msg="onlyonce: reconciling failed" failures=1 error=full
`
	if got != want {
		t.Errorf("logged:\n%swant:\n%s", got, want)
	}
}

func TestRunWithoutReportLogsPassesThatFail(t *testing.T) { //nolint:paralleltest // it replaces slog.Default
	got := logged(t, func() {
		synctest.Test(t, func(t *testing.T) {
			engine, err := onlyonce.New(&listing{Store: memstore.New(), err: errors.New("no right to list")})
			if err != nil {
				t.Fatal(err)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()

			if err := Run(ctx, engine, Options{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run: %v", err)
			}
		})
	})

	if !regexp.MustCompile(`\Alevel=WARN msg="onlyonce: reconciling failed" failures=1 error=".*no right to list"\n\z`).MatchString(got) {
		t.Errorf("logged:\n%s", got)
	}
}
