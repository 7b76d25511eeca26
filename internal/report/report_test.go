package report_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/internal/report"
	"github.com/onlyonce-go/onlyonce/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWithoutAnObserverNothingIsMeasured(t *testing.T) { //nolint:paralleltest // others would allocate
	var (
		nobody report.To
		res    store.Result
		err    = errors.New("full")
		ctx    = t.Context()
	)

	if began := nobody.Clock(); !began.IsZero() {
		t.Errorf("the clock is read: %v", began)
	}

	if n := testing.AllocsPerRun(100, func() {
		began := nobody.Clock()
		nobody.Ended(ctx, store.OperationClaim, began, &res, &err)
		nobody.Answered(ctx, store.OperationLookup, began, &err)
		nobody.Refused(ctx, store.OperationClaim, err)
		nobody.Resent(ctx, store.OperationClaim, nil)
		nobody.Batch(ctx, began, 1)
		nobody.Waited(ctx, store.OperationClaim, 1)
		nobody.Swept(ctx, began, 1, nil)
		nobody.Repaired(ctx, store.OperationList, 1)
		nobody.Listening(ctx, nil)
		nobody.Indexed(ctx, began, 1, &err)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFailuresOfRunAreLoggedUnlessThereIsAnObserver(t *testing.T) { //nolint:paralleltest // it replaces the default logger
	var text bytes.Buffer

	before := slog.Default()

	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	defer slog.SetDefault(before)

	run := func(to report.To) string {
		text.Reset()
		to.Log(t.Context(), "sweeping", 0, nil, "table", "records")
		to.Log(t.Context(), "sweeping", 1, errors.New("no route"), "table", "records")
		to.Log(t.Context(), "sweeping", 1, nil, "table", "records")

		return text.String()
	}

	if logged := run(report.To{Observer: store.ObserverFunc(func(context.Context, store.Event) {})}); logged != "" {
		t.Errorf("although there is an observer, this is logged: %s", logged)
	}

	lines := strings.Split(strings.TrimSpace(run(report.To{})), "\n")

	for i, want := range []string{
		`level=WARN msg="onlyonce: sweeping failed" table=records failures=1 error="no route"`,
		`level=INFO msg="onlyonce: sweeping works again" table=records failures=1`,
	} {
		if len(lines) != 2 || !strings.HasSuffix(lines[i], want) {
			t.Errorf("logged are %q, want %q", lines, want)
		}
	}
}
