//go:build unix

package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Cached returns a folder of the cache. fill creates its content once, even if several processes need it at the same time.
func Cached(name string, fill func(dir string) error) (string, error) {
	base, err := cache()
	if err != nil {
		return "", err
	}

	return cachedIn(base, name, fill)
}

func cachedIn(base, name string, fill func(dir string) error) (folder string, err error) {
	folder = filepath.Join(base, name)
	if exists(folder) {
		return folder, nil
	}

	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", err
	}

	unlock, err := lock(folder + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()

	if exists(folder) { // filled by another process
		return folder, nil
	}

	// A killed process may have left a partial folder.
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}

	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()

	// A server may run as another user, so the folder must be readable with any umask.
	if err := errors.Join(os.Mkdir(partial, 0o755), os.Chmod(partial, 0o755)); err != nil {
		return "", err
	}

	if err := fill(partial); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}

	return folder, os.Rename(partial, folder)
}

// cache returns the cache folder. Root's own cache folder is closed to other users, and some servers refuse to run as root.
func cache() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/onlyonce-test", nil
	}

	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}

	return filepath.Join(base, "onlyonce-test"), nil
}

// lock waits for a file lock. The end of a process releases its locks.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}

	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}

	return func() { _ = file.Close() }, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)

	return err == nil
}
