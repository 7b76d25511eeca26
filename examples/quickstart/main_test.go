package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheQuickStartPrintsWhatTheReadmeShows(t *testing.T) {
	t.Parallel()

	var out bytes.Buffer

	run(t.Context(), &out)

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(string(readme), "```text\n"+out.String()+"```\n") {
		t.Errorf("README.md does not show this output:\n%s", out.String())
	}

	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}

	_, file, ok := strings.Cut(string(source), "package main\n")
	if !ok || !strings.Contains(string(readme), "```go\npackage main\n"+file+"```\n") {
		t.Error("README.md does not show main.go as it is")
	}
}

// The commands of the README make the file run in a folder that knows nothing of this repository.
func TestTheCommandsOfTheReadmeWorkInAFreshFolder(t *testing.T) {
	t.Parallel()

	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}

	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}

	_, block, _ := strings.Cut(string(readme), "```sh\n")
	clone, commands, ok := strings.Cut(strings.Split(block, "```")[0], "\n")

	if !ok || clone != "git clone https://github.com/onlyonce-go/onlyonce ../onlyonce" {
		t.Fatalf("the first command of the README is %q", clone)
	}

	folder := filepath.Join(t.TempDir(), "service")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}

	if err := os.Symlink(root, filepath.Join(filepath.Dir(folder), "onlyonce")); err != nil {
		t.Fatal(err)
	}

	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(folder, "main.go"), source, 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), "bash", "-euc", "go mod init example.com/service\n"+commands+"go run .")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")

	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "order-2 is paid by charge 2 [replayed]") {
		t.Errorf("%v\n%s", err, out)
	}
}
