package main_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/examples/clients/server"
)

// grace is the time before the deadline of the tests at which a command is killed.
const grace = 10 * time.Second

func TestNodeClient(t *testing.T) {
	out := output(t, "node", servers(t), node(t), "keyed.test.js")
	if !regexp.MustCompile(`(?m)^[#ℹ] pass [1-9]\d*$`).MatchString(out) {
		t.Errorf("no test has run:\n%s", out)
	}
}

func TestPythonClient(t *testing.T) {
	generated := t.TempDir()
	generate := []string{"-m", "grpc_tools.protoc", "--python_out=" + generated, "--grpc_python_out=" + generated}
	output(t, "python", nil, python(t), append(generate, "-I", ".", "details.proto")...)
	output(t, ".", nil, python(t), append(generate, "-I", "proto", "-I", "../../proto", chargesProto, optionsProto)...)

	env := append(servers(t), "PYTHONPATH="+generated, "PYTHONDONTWRITEBYTECODE=1")

	out := output(t, "python", env, python(t), "-m", "unittest", "-v")
	if !regexp.MustCompile(`(?m)^Ran [1-9]\d* tests? `).MatchString(out) {
		t.Errorf("no test has run:\n%s", out)
	}
}

// The clients are copied one by one, so each has its own copy.
func TestClientsHaveTheSameDetails(t *testing.T) {
	one, err := os.ReadFile("node/details.proto")
	if err != nil {
		t.Fatal(err)
	}

	two, err := os.ReadFile("python/details.proto")
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(one, two) {
		t.Error("node/details.proto and python/details.proto differ")
	}
}

// servers starts a server with the kit and one without it, and returns the environment that names them.
func servers(t *testing.T) []string {
	t.Helper()

	return []string{"CHARGES_WITH_KIT=" + start(t, server.WithKit), "CHARGES_WITHOUT_KIT=" + start(t, server.WithoutKit)}
}

// start starts a server and returns its address.
func start(t *testing.T, kit server.Kit) string {
	t.Helper()

	s, err := server.Start("127.0.0.1:0", kit)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})

	return s.Addr()
}

// output runs a command, which must succeed, and returns its output.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()

	ctx := t.Context()

	// A command that hangs ends while there is time to show its output.
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc

		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-grace))
		defer cancel()
	}

	out, err := run(ctx, dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %v in %s: %v\n%s", name, args, dir, err, out)
	}

	return out
}

func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)

	out, err := cmd.CombinedOutput()

	return string(out), err
}

// node is the program, whose packages npm has installed.
func node(t *testing.T) string {
	t.Helper()

	if _, err := os.Stat(filepath.Join("node", "node_modules", "@grpc")); err != nil {
		t.Fatalf("the packages of the Node client are missing: run make languages: %v", err)
	}

	return "node"
}

// python is an interpreter that has gRPC. Another one than the system's may come first in the path.
func python(t *testing.T) string {
	t.Helper()

	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if _, err := run(t.Context(), ".", nil, name, "-c", "import grpc, grpc_tools.protoc"); err == nil {
			return name
		}
	}

	t.Fatal("no python3 has the modules grpc and grpc_tools: run make languages")

	return ""
}
