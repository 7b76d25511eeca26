//go:build unix

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// readOnly fails while ro is set, as a file system does that has become read-only under an open file.
func readOnly(ro *atomic.Bool) environment {
	env := realEnvironment()
	env.write = func(file *os.File, data []byte, at int64) (int, error) {
		if ro.Load() {
			return 0, &os.PathError{Op: "write", Path: file.Name(), Err: syscall.EROFS}
		}

		return file.WriteAt(data, at)
	}
	env.sync = func(file *os.File) error {
		if ro.Load() {
			return &os.PathError{Op: "sync", Path: file.Name(), Err: syscall.EROFS}
		}

		return file.Sync()
	}

	return env
}

func TestACallIsNotSentWhileTheFileSystemIsReadOnlyAndNothingIsLost(t *testing.T) {
	var ro atomic.Bool

	path := journalPath(t)
	j := open(t, path, withEnvironment(readOnly(&ro)))
	begin(t, j, 1)
	removed := begin(t, j, 2)

	ro.Store(true)

	for range 2 {
		_, err := j.Begin(t.Context(), testEntry(3))
		if !errors.Is(err, syscall.EROFS) || errors.Is(err, ErrUncertain) {
			t.Errorf("Begin: %v, want EROFS that is certain: nothing was written", err)
		}
	}

	end(t, removed, nil)
	ro.Store(false)
	begin(t, j, 4)
	j.Close()

	again := open(t, path)
	if got := keys(again); !slices.Equal(got, []string{"order-1", "order-4"}) || len(again.Damage()) > 0 {
		t.Errorf("left are %v; damage %v", got, again.Damage())
	}
}

// The calls would be hidden when the first file system is back.
func TestACallIsNotWrittenToAnotherFileSystem(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)
	begin(t, j, 1)

	disk := &storeOf(t, j).disk
	first := path + ".first"

	if err := os.Rename(path, first); err != nil {
		t.Fatal(err)
	}

	disk.device++ // of a file system that is not there any more

	if _, err := j.Begin(t.Context(), testEntry(2)); err == nil || !strings.Contains(err.Error(), "mount") || errors.Is(err, ErrUncertain) {
		t.Errorf("Begin: %v, want an error that is certain", err)
	}

	if there, err := filepath.Glob(path); err != nil || len(there) > 0 {
		t.Errorf("there is %v: %v", there, err)
	}

	if err := os.Rename(first, path); err != nil {
		t.Fatal(err)
	}

	disk.device--

	begin(t, j, 3)
	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-1", "order-3"}) {
		t.Errorf("left are %v", got)
	}
}

// A file that was written anew was made with the name path.new.
func TestErrorsNameTheFileOfTheJournal(t *testing.T) {
	path := journalPath(t)

	for _, step := range []string{"writing", "undoing that", "replacing"} {
		var failing atomic.Bool

		env := realEnvironment()
		env.write = func(file *os.File, data []byte, at int64) (int, error) {
			if !failing.Load() {
				return file.WriteAt(data, at)
			}

			n, err := file.WriteAt(data[:1], at)

			return n, errors.Join(err, &os.PathError{Op: "write", Path: file.Name(), Err: syscall.ENOSPC})
		}
		env.sync = func(file *os.File) error {
			if failing.Load() && step == "undoing that" {
				return &os.PathError{Op: "sync", Path: file.Name(), Err: syscall.EIO}
			}

			return file.Sync()
		}

		j := open(t, path, withEnvironment(env))
		if step == "replacing" {
			_ = os.Remove(path)
		}

		failing.Store(true)

		_, err := j.Begin(t.Context(), testEntry(1))
		if err == nil || !strings.Contains(err.Error(), step+" "+path+": ") || strings.Contains(err.Error(), ".new") ||
			!strings.Contains(err.Error(), "check the disk") {
			t.Errorf("Begin: %v; want %s and the path, and what to do", err, step)
		}

		j.Close()

		_ = os.Remove(path)
	}
}
