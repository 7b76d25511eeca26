//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
)

func TestDemoChargesEveryOrderOnceAlthoughAServerIsKilled(t *testing.T) {
	redis := redistest.Standalone(t)

	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()

	d := newDemo(someOrders(t, 300))
	d.share(redis.URL(), 2)
	d.childErrors = said

	var out bytes.Buffer
	if err := d.show(t.Context(), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}

	for _, want := range []string{
		`\nreconcilers: 2\n`,
		`\n +servers killed +1 +1 +0\n +unknown outcomes +- +\d+ +\d+\n +settled by reconcilers +- +[1-9]\d* +-\n`,
		`\nresult mode=plain requested=300 charged=\d+ doubled=[1-9]\d* missing=\d+\n` +
			`result mode=onlyonce requested=300 charged=300 doubled=0 missing=0\n` +
			`result mode=nokit requested=300 charged=\d+ doubled=0 unknown=[1-9]\d*\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the output does not match %q:\n%s", want, out.String())
		}
	}

	if text, err := os.ReadFile(said.Name()); err != nil || len(text) > 0 {
		t.Errorf("the processes say: %s (%v)", text, err)
	}

	mustLeaveNothing(t, redis, d)
}

// mustLeaveNothing reports keys that are not the demo's or that do not expire soon.
func mustLeaveNothing(t *testing.T, redis *redistest.Server, d *demo) {
	t.Helper()

	keys, err := redis.Client().Keys(t.Context(), "*").Result()
	if err != nil || len(keys) == 0 {
		t.Errorf("keys: %d, %v; want those of the demo", len(keys), err)
	}

	for _, key := range keys {
		left, err := redis.Client().PTTL(t.Context(), key).Result()
		if err != nil || left <= 0 || left > d.retention || !strings.HasPrefix(key, d.prefix) {
			t.Errorf("the key %q lives for %v, %v; want at most %v", key, left, err, d.retention)
		}
	}
}

func TestDemoReportsAnUnusableRedisBeforeAnythingIsCharged(t *testing.T) {
	gone, evicting := redistest.Standalone(t), redistest.Standalone(t, "--maxmemory-policy", "allkeys-lru")
	gone.Kill()

	for url, want := range map[string]string{gone.URL(): "cannot be reached", evicting.URL(): "allkeys-lru"} {
		var out bytes.Buffer

		err := run(t.Context(), []string{"demo", "-store", url}, &out, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was charged") {
			t.Errorf("run: %v, want an error that says %q", err, want)
		}

		if out.Len() > 0 {
			t.Errorf("the demo began all the same:\n%s", out.String())
		}
	}
}

// start starts this program with a command, and returns what it and its children say on standard error.
func start(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()

	said, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { said.Close() })

	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Stderr = stderr

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	stderr.Close()

	return cmd, bufio.NewReader(said)
}

func TestProcessesDoNotOutliveTheDemo(t *testing.T) {
	redis := redistest.Standalone(t)

	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "interrupted": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			cmd, said := start(t, "demo", "-store", redis.URL())

			line, err := said.ReadString('\n')
			if err != nil || !strings.Contains(line, "250/1000") {
				t.Fatalf("the demo says %q, %v", line, err)
			}

			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}

			// The pipe ends when the last of them has ended.
			rest, err := io.ReadAll(said)
			if err != nil {
				t.Fatal(err)
			}

			if err := cmd.Wait(); err == nil {
				t.Error("the demo has succeeded")
			}

			if told := strings.Contains(string(rest), "interrupted"); told != (signal == syscall.SIGINT) {
				t.Errorf("it says:\n%s", rest)
			}
		})
	}
}

func TestAChildEndsWithItsInput(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)

	p, err := launch(ctx, "the ledger", &childConfig{}, io.Discard, fail)
	if err != nil {
		t.Fatal(err)
	}

	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}

	<-p.ended

	if cause := context.Cause(ctx); cause == nil || !strings.Contains(cause.Error(), "the ledger has ended by itself") {
		t.Errorf("the cause is %v", cause)
	}
}

func TestDemoFailsWhenTheLedgerDies(t *testing.T) {
	redis := redistest.Standalone(t)

	d := newDemo(someOrders(t, 300))
	d.share(redis.URL(), 2)

	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)

	s, err := d.openFleet(ctx, modeOnlyonce, fail)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()

	f, ok := s.(*fleet)
	if !ok {
		t.Fatalf("the stage is a %T", s)
	}

	if err := f.ledger.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	err = d.payAll(ctx, fail, &trial{mode: modeOnlyonce}, s)
	if err == nil || !strings.Contains(err.Error(), "the ledger has ended by itself") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("payAll: %v", err)
	}
}

func TestTheErrorOfTheDemoHasItsCause(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())

	call := errors.New("the call has failed")
	if err := because(ctx, call); err != call { //nolint:errorlint // the error itself
		t.Errorf("before the end: %v", err)
	}

	died := errors.New("the ledger has ended by itself")
	fail(died)

	for _, err := range []error{ctx.Err(), call, fmt.Errorf("interrupted: %w", died)} {
		if got := because(ctx, err); strings.Count(got.Error(), died.Error()) != 1 || !errors.Is(got, err) {
			t.Errorf("the error is %q, want both %q and %q", got, err, died)
		}
	}

	if err := because(ctx, nil); err != nil {
		t.Errorf("without an error: %v", err)
	}
}

func TestServersThatShareAStoreReplayEachOthersPayments(t *testing.T) {
	redis := redistest.Standalone(t)

	for i, want := range []string{`"executed"`, `"replayed"`} {
		ctx, stop := context.WithCancel(t.Context())
		said := make(lineWriter, 1)
		stopped := make(chan error, 1)

		go func() {
			stopped <- run(ctx, []string{"serve", "-addr", "127.0.0.1:0", "-store", redis.URL()}, said, io.Discard)
		}()

		addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(<-said)

		var out bytes.Buffer
		if err := run(t.Context(), []string{"pay", "-addr", addr}, &out, io.Discard); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("server %d: %v, want %s\n%s", i+1, err, want, out.String())
		}

		stop()

		if err := <-stopped; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}
