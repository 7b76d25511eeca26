//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lockFile fails: without flock, two processes could send the same calls.
func lockFile(string) (*os.File, error) {
	return nil, fmt.Errorf("journal: locking a file on %s: %w: use New with a store of your own", runtime.GOOS, errors.ErrUnsupported)
}

// lockContents is not called, because lockFile has failed.
func lockContents(*os.File) error { return errors.ErrUnsupported }

// deviceOf is not called, either.
func deviceOf(string) (uint64, error) { return 0, errors.ErrUnsupported }
