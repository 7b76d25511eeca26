//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// startServer starts a protected server with a ledger.
func startServer(t *testing.T) (addr string, book *ledger.Ledger) {
	t.Helper()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	book = ledger.New()

	server, err := newServer(engine, oneParty(), ledger.NewService(book, 0))
	if err != nil {
		t.Fatal(err)
	}

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	go func() { _ = server.Serve(listener) }()

	t.Cleanup(server.Stop)

	return listener.Addr().String(), book
}

// pay runs the command as a process of its own.
func pay(t *testing.T, args ...string) (string, *os.ProcessState) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"pay"}, args...)...)
	out, _ := cmd.CombinedOutput() // the state tells

	return string(out), cmd.ProcessState
}

func TestAPaymentHappensOnceWhereverTheClientIsKilled(t *testing.T) {
	for _, point := range diePoints() {
		t.Run(point, func(t *testing.T) {
			addr, book := startServer(t)
			args := []string{"-addr", addr, "-journal", filepath.Join(t.TempDir(), "calls")}

			out, state := pay(t, append(args, "-die", point)...)
			if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the client ended with %v, and not by SIGKILL:\n%s", state, out)
			}

			sent := point == dieAnswered || point == dieEnded
			if charged := book.Total() == 1; charged != sent {
				t.Errorf("when the client was killed, %d payments had happened", book.Total())
			}

			// The next process has only the journal.
			out, state = pay(t, append(args, "-resume")...)

			left := point == dieWritten || point == dieAnswered
			if !state.Success() || strings.Contains(out, "left by an earlier process: payment") != left {
				t.Errorf("started again, it ends with %v:\n%s", state, out)
			}

			if want := point != dieBegun; (book.Total() == 1) != want {
				t.Errorf("after that, %d payments have happened", book.Total())
			}

			if out, state = pay(t, args...); !state.Success() || book.Total() != 1 {
				t.Errorf("%d payments have happened; the last process ended with %v:\n%s", book.Total(), state, out)
			}
		})
	}
}

// The first client has sent nothing, and the second one is killed while it sends what the first has left.
func TestAPaymentHappensOnceWhereverTheClientIsKilledInResume(t *testing.T) {
	for _, point := range diePoints() {
		t.Run(point, func(t *testing.T) {
			addr, book := startServer(t)
			args := []string{"-addr", addr, "-journal", filepath.Join(t.TempDir(), "calls")}

			for _, die := range [][]string{{"-die", dieWritten}, {"-resume", "-die", point}} {
				out, state := pay(t, append(args, die...)...)
				if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("%s: the client ended with %v, and not by SIGKILL:\n%s", die, state, out)
				}
			}

			out, state := pay(t, append(args, "-resume")...)
			if !state.Success() || !strings.Contains(out, "left by an earlier process: payment") || book.Total() != 1 {
				t.Errorf("the third client ends with %v, and %d payments have happened:\n%s", state, book.Total(), out)
			}

			if out, _ = pay(t, append(args, "-resume")...); strings.Contains(out, "left by an earlier process") {
				t.Errorf("something is still in the journal:\n%s", out)
			}
		})
	}
}

// Otherwise no later process could pay with this journal.
func TestAPaymentThatIsTooOldIsReportedAndDoesNotStopTheNextOne(t *testing.T) {
	addr, book := startServer(t)
	path := filepath.Join(t.TempDir(), "calls")

	conn, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	calls, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}

	old := journal.Entry{
		Method: paymentsv1.PaymentService_Pay_FullMethodName, Key: "yesterday", Target: conn.Target(), Written: time.Now().Add(-25 * time.Hour),
	}
	if _, err := calls.Begin(t.Context(), old); err != nil {
		t.Fatal(err)
	}

	calls.Close()

	out, state := pay(t, "-addr", addr, "-journal", path)
	if !state.Success() || !strings.Contains(out, "key yesterday, left by an earlier process, is not sent") || book.Total() != 1 {
		t.Errorf("%d payments have happened; the process ended with %v:\n%s", book.Total(), state, out)
	}
}

func TestResumeNeedsAJournal(t *testing.T) {
	if err := run(t.Context(), []string{"pay", "-resume"}, os.Stdout, os.Stderr); err == nil || !strings.Contains(err.Error(), "-journal") {
		t.Errorf("pay -resume: %v", err)
	}
}
