//go:build unix

package redistest

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatIsThereIsNotInstalled(t *testing.T) {
	t.Parallel()

	path, err := find("sh", func() error {
		t.Error("it is installed")

		return nil
	})
	if err != nil || !strings.HasSuffix(path, "/sh") {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestWhatCannotBeInstalledIsNamedInOneLine(t *testing.T) {
	t.Parallel()

	for _, failed := range []error{nil, errors.New("no network")} {
		_, err := find("no-such-server", func() error { return failed })
		if err == nil || !strings.Contains(err.Error(), "no-such-server") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	}
}
