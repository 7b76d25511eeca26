//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lockFile takes the lock of a journal, for as long as the file stays open. The kernel frees the lock when the process ends, however it
// ends. The file contains the process that has taken it last.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the program chooses the path
	if err != nil {
		return nil, fmt.Errorf("journal: opening the lock: %w", err)
	}

	if err := flock(file); err != nil {
		holder, _ := os.ReadFile(path) //nolint:gosec // as above
		_ = file.Close()

		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: process %s has the lock %s: end it, or use another file", ErrLocked, strings.TrimSpace(string(holder)), path)
		}

		return nil, fmt.Errorf("journal: locking %s: %w", path, err)
	}

	// The number is for people. Without it the lock is as good.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}

	return file, nil
}

// lockContents takes a lock of the journal's file itself. Two hard links to one file have two files path.lock, and this one lock.
func lockContents(file *os.File) error {
	switch err := flock(file); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%w: by another name of the file %s, or because its lock was deleted: end the other process, or use another file",
			ErrLocked, file.Name())
	case err != nil:
		return fmt.Errorf("journal: locking %s: %w", file.Name(), err)
	default:
		return nil
	}
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// deviceOf returns the number of the file system of a folder.
func deviceOf(folder string) (uint64, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(folder, &stat); err != nil {
		return 0, &os.PathError{Op: "stat", Path: folder, Err: err}
	}

	return uint64(stat.Dev), nil //nolint:unconvert // its type depends on the system
}
