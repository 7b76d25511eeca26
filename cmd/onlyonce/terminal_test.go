//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// session is a command on a pseudo-terminal.
type session struct {
	cmd  *exec.Cmd
	tty  *os.File
	seen bytes.Buffer
}

// onTerminal starts a command on a pseudo-terminal.
func onTerminal(t *testing.T, address string, args ...string) *session {
	t.Helper()

	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	s := &session{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), binary, patient(args)...)}
	s.cmd.Env = append(os.Environ(), roleEnv+"="+roleCLI, "ONLYONCE_STORE="+address, "NO_COLOR=1")

	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: defaultWidth}); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.tty.Close()
	})

	return s
}

// until reads until a text appears.
func (s *session) until(t *testing.T, text string) string {
	t.Helper()

	for !strings.Contains(s.seen.String(), text) {
		part := make([]byte, 1000)

		n, err := s.tty.Read(part)
		s.seen.Write(part[:n])

		if err != nil {
			t.Fatalf("the terminal ends without %q:\n%s", text, s.seen.String())
		}
	}

	return s.seen.String()
}

// answer types a line.
func (s *session) answer(t *testing.T, line string) {
	t.Helper()

	if _, err := s.tty.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// end reads the remaining output. It returns the whole output and the exit status.
func (s *session) end(t *testing.T) printed {
	t.Helper()

	for {
		part := make([]byte, 1000)

		n, err := s.tty.Read(part) // the system reports the end as an error
		s.seen.Write(part[:n])

		if err != nil {
			break
		}
	}

	err := s.cmd.Wait()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}

	return printed{out: s.seen.String(), status: s.cmd.ProcessState.ExitCode()}
}

// descriptorSet returns a file with the payment message types.
func descriptorSet(t *testing.T) string {
	t.Helper()

	set := new(descriptorpb.FileDescriptorSet)
	seen := make(map[string]bool)

	var add func(file protoreflect.FileDescriptor)

	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}

		seen[file.Path()] = true

		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}

		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(pb.File_grpc_testing_test_proto)

	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "payments.binpb")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

// waitListed waits until one record is listed, and returns its ID.
func waitListed(t *testing.T, address string, flags ...string) (id string) {
	t.Helper()

	servertest.Wait(t, "the record is listed", func() error {
		var found struct {
			Records []struct {
				ID string `json:"id"`
			} `json:"records"`
		}

		listed := command(t, address, append([]string{"list", "--json"}, flags...)...).mustEnd(t, statusOK)
		if err := json.Unmarshal([]byte(listed.out), &found); err != nil {
			return err
		}

		if len(found.Records) != 1 {
			return fmt.Errorf("%d records", len(found.Records))
		}

		id = found.Records[0].ID

		return nil
	})

	return id
}

// forEachStore runs a test with SQLite, Redis, PostgreSQL and MariaDB.
func forEachStore(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()

	for name, open := range map[string]func(t *testing.T) string{
		"sqlite":   sqliteURL,
		"postgres": postgresURL,
		"mysql":    mysqlURL,
		"redis":    func(t *testing.T) string { t.Helper(); return redistest.Standalone(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func TestF03OperatorSettlesOnATerminalWhatAKilledServerHasLeft(t *testing.T) {
	t.Parallel()

	forEachStore(t, func(t *testing.T, address string) {
		t.Helper()

		killInHandler(t, address, "order-17", time.Hour)
		id := waitListed(t, address)

		onTerminal(t, address, "list").end(t).mustEnd(t, statusOK).mustSay(t, id[:shortID], "abandoned", payMethod, "1 record.")

		types := descriptorSet(t)
		onTerminal(t, address, "show", id[:shortID]).end(t).mustEnd(t, statusOK).
			mustSay(t, id, "the outcome is unknown", "AT_MOST_ONCE", "may be alive until", "--payload prints the content").
			mustNotSay(t, "order-17", "responseSize")
		onTerminal(t, address, "show", id, "--payload", "--show-key", "--descriptors", types).end(t).mustEnd(t, statusOK).
			mustSay(t, "order-17", `"responseSize": 17`)

		// The owner may still be alive.
		onTerminal(t, address, "resolve", id, "--did-not-happen", "--reason", "not at the bank").end(t).mustEnd(t, statusFailed).
			mustSay(t, "may still be alive")

		settle := []string{
			"resolve", id[:shortID], "--happened", "--response", `{"username": "paid after all"}`, "--descriptors", types,
			"--reason", "seen at the bank", "--by", "ann",
		}

		refusal := onTerminal(t, address, settle...)
		refusal.until(t, "[y/N]")
		refusal.answer(t, "n")
		refusal.end(t).mustEnd(t, statusFailed).mustSay(t, "nothing was changed")

		asked := onTerminal(t, address, settle...)
		if text := asked.until(t, "[y/N]"); !strings.Contains(text, "The record becomes COMPLETED with the answer OK") {
			t.Errorf("the plan is\n%s", text)
		}

		asked.answer(t, "y")
		asked.end(t).mustEnd(t, statusOK).mustSay(t, "is completed, by ann: seen at the bank")

		s := startServer(t, address, testLease, time.Hour, false)

		resp, err := s.pay(t.Context(), "order-17")
		if err != nil || resp.GetUsername() != "paid after all" {
			t.Errorf("the duplicate gets %v, %v", resp, err)
		}

		command(t, address, "show", id, "--payload", "--reflect", s.addr, "--plaintext").mustEnd(t, statusOK).
			mustSay(t, `"username": "paid after all"`, "ann: seen at the bank")
		command(t, address, "show", id, "--payload", "--reflect", s.addr).mustEnd(t, statusFailed).mustSay(t, "add --plaintext")
	})
}

func TestF49F59OperatorWhoIsOvertakenWhileThinkingChangesNothing(t *testing.T) {
	t.Parallel()

	forEachStore(t, func(t *testing.T, address string) {
		t.Helper()

		killInHandler(t, address, "order-17", testLease)
		id := waitListed(t, address)

		asked := onTerminal(t, address, "resolve", id, "--happened", "--error", "NOT_FOUND", "--reason", "slow")

		if text := asked.until(t, "[y/N]"); !strings.Contains(text, "Store     "+location(address)) {
			t.Errorf("the plan does not name the store:\n%s", text)
		}

		command(t, address, "resolve", id, "--happened", "--error", "FAILED_PRECONDITION", "--message", "closed",
			"--reason", "quick", "--by", "bob", "--yes").mustEnd(t, statusOK)

		asked.answer(t, "y")
		asked.end(t).mustEnd(t, statusFailed).mustSay(t, "is not unknown")

		command(t, address, "show", id).mustEnd(t, statusOK).mustSay(t, "bob: quick", "FAILED_PRECONDITION")
	})
}
