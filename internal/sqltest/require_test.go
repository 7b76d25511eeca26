//go:build unix

package sqltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProgramIsFoundInThePathAndElsewhere(t *testing.T) {
	if path, err := find("sh", "dash"); err != nil || !strings.HasSuffix(path, "/sh") {
		t.Errorf("got %q, %v", path, err)
	}

	dir := t.TempDir()
	want := filepath.Join(dir, "15", "bin", "no-such-server")

	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(want, nil, 0o700); err != nil {
		t.Fatal(err)
	}

	if path, err := find("no-such-server", "server", filepath.Join(dir, "*", "bin")); path != want {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestWhatIsMissingIsNamedInOneLine(t *testing.T) {
	_, err := find("no-such-server", "some-package", "/no/such/*/folder")
	if err == nil || !strings.Contains(err.Error(), "some-package") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
