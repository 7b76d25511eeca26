//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
)

// TestMain makes the test binary the program if there is a command, because the demo starts itself again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
	}

	goleak.VerifyTestMain(sqltest.Shared(m))
}

func someOrders(t *testing.T, n int) []orders.Order {
	t.Helper()

	var text bytes.Buffer
	if err := orders.Generate(&text, n, 7); err != nil {
		t.Fatal(err)
	}

	all, err := orders.Read(&text)
	if err != nil {
		t.Fatal(err)
	}

	return all
}

func TestDemoChargesEveryOrderOnceWithOnlyonceAndNotWithout(t *testing.T) {
	var out bytes.Buffer
	if err := newDemo(someOrders(t, 300)).show(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}

	want := regexp.MustCompile(`\nresult mode=plain requested=300 charged=\d+ doubled=[1-9]\d* missing=\d+\n` +
		`result mode=onlyonce requested=300 charged=300 doubled=0 missing=0\n` +
		`result mode=nokit requested=300 charged=\d+ doubled=0 unknown=[1-9]\d*\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("the output does not end with the result lines:\n%s", out.String())
	}
}

func TestDemoFailsWhenTheFaultsHaveNoEffect(t *testing.T) {
	d := newDemo(someOrders(t, 5))
	d.faults, d.twice = faultynet.Faults{}, 0

	if err := d.show(t.Context(), new(bytes.Buffer)); !errors.Is(err, errNotShown) {
		t.Errorf("show: %v, want %v", err, errNotShown)
	}
}

func TestDemoFailsWhenOrdersAreMissing(t *testing.T) {
	d := newDemo(someOrders(t, 5))
	d.faults, d.patience = faultynet.Faults{Reset: 1}, 200*time.Millisecond

	var out bytes.Buffer
	if err := d.show(t.Context(), &out); !errors.Is(err, errNotShown) {
		t.Errorf("show: %v, want %v", err, errNotShown)
	}

	if !strings.Contains(out.String(), "result mode=onlyonce requested=5 charged=0 doubled=0 missing=5\n") {
		t.Errorf("the output does not count the missing orders:\n%s", out.String())
	}
}

func TestDemoStopsAtABadLineBeforeAnythingIsCharged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.csv")
	if err := os.WriteFile(path, []byte(orders.Header+"\nord-1,a,b,1.00,EUR\nord-2,a,b,one,EUR\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer

	err := run(t.Context(), []string{"demo", "-input", path}, &out, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "line 3") || !strings.Contains(err.Error(), "nothing was charged") {
		t.Errorf("run: %v, want an error that names line 3", err)
	}

	if out.Len() > 0 {
		t.Errorf("the demo began all the same:\n%s", out.String())
	}
}

func TestCommandsRefuseWrongUse(t *testing.T) {
	for _, args := range [][]string{
		{"shop"}, {"demo", "extra"}, {"demo", "-nonsense"}, {"demo", "-store", "ftp:x"}, {"demo", "-store", "memory://host/x"},
		{"demo", "-store", ":"}, {"demo", "-workers", "0"}, {"demo", "-input", "/does/not/exist"}, {"generate", "-n", "0"},
		{"serve", "-store", "nowhere:"}, {"pay", "-amount", "much"}, {"demo", "-servers", "-1"},
		{"demo", "-store", "redis://127.0.0.1:16379:1"}, {"serve", "-store", "redis://127.0.0.1:16379:1"},
	} {
		if err := run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("run %q: no error", args)
		}
	}
}

func TestSeveralServersAreRefusedOnTheMemoryOfOne(t *testing.T) {
	var out bytes.Buffer

	err := run(t.Context(), []string{"demo", "-servers", "2"}, &out, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "-store redis://") || out.Len() > 0 {
		t.Errorf("run: %v, want an error that says what to give\n%s", err, out.String())
	}
}

func TestTheErrorAboutAStoreKeepsThePassword(t *testing.T) {
	for _, url := range []string{"redi://user:secret@host", "redis://user:secret@127.0.0.1:1:1", "redis://user:secret%zz@host"} {
		err := run(t.Context(), []string{"demo", "-store", url}, new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("run with %s: %v", url, err)
		}
	}
}

// lineWriter hands over what is written, a write at a time.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)

	return len(p), nil
}

func TestPayAgainIsAReplayAndAnotherAmountIsRefused(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	said := make(lineWriter, 1)
	stopped := make(chan error, 1)

	go func() { stopped <- run(ctx, []string{"serve", "-addr", "127.0.0.1:0"}, said, io.Discard) }()

	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(<-said)

	pay := func(args ...string) (string, error) {
		var out bytes.Buffer

		err := run(t.Context(), append([]string{"pay", "-addr", addr}, args...), &out, new(bytes.Buffer))

		return out.String(), err
	}

	first, err := pay()
	if err != nil || !strings.Contains(first, `"executed"`) || !strings.Contains(first, "charge number 1") {
		t.Errorf("first: %v\n%s", err, first)
	}

	second, err := pay()
	if err != nil || !strings.Contains(second, `"replayed"`) || !strings.Contains(second, "charge number 1") {
		t.Errorf("second: %v\n%s", err, second)
	}

	if third, err := pay("-amount", "13"); err == nil || !strings.Contains(third, `"rejected"`) {
		t.Errorf("another amount under the same key: %v\n%s", err, third)
	}

	stop()

	if err := <-stopped; err != nil {
		t.Errorf("serve: %v", err)
	}
}
