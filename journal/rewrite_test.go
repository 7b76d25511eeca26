package journal

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A folder may be read-only, or have no room for a second file.
func TestTheFileStaysWithinItsBoundIfItCannotBeWrittenAnew(t *testing.T) {
	const step = 2000

	var (
		failing  atomic.Bool
		attempts int
	)

	env := withoutSync()
	env.write = func(file *os.File, data []byte, at int64) (int, error) {
		if failing.Load() && strings.HasSuffix(file.Name(), ".new") && at == 0 {
			attempts++

			return 0, syscall.ENOSPC
		}

		return file.WriteAt(data, at)
	}

	path := journalPath(t)
	open(t, path).Close() // so that the file has its own name

	j := open(t, path, withEnvironment(env), withCompaction(step), WithMaxBytes(leastBytes))
	bound := limits{bytes: leastBytes, compact: step}.mostFile()
	taken := 0

	failing.Store(true)

	for ; taken < 1000; taken++ {
		call, err := j.Begin(t.Context(), testEntry(taken))
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUncertain) {
				t.Errorf("Begin: %v, want ENOSPC that is certain", err)
			}

			break
		}

		end(t, call, nil)
	}

	if info, err := os.Stat(path); err != nil || info.Size() > bound || taken < 20 || taken == 1000 {
		t.Errorf("after %d calls the file has %d bytes, and its bound is %d: %v", taken, info.Size(), bound, err)
	}

	if attempts > taken/5 {
		t.Errorf("%d calls took %d attempts to write the file anew", taken, attempts)
	}

	failing.Store(false)
	begin(t, j, 1)
}

func TestTheFileIsWrittenAnewOnceAfterAFailedWriteThatCannotBeUndone(t *testing.T) {
	var (
		broken atomic.Bool
		syncs  int
	)

	env := realEnvironment()
	env.sync = func(file *os.File) error {
		syncs++

		if broken.Load() {
			return syscall.EIO
		}

		return file.Sync()
	}

	j := open(t, journalPath(t), withEnvironment(env))
	first, second := begin(t, j, 2), begin(t, j, 3)

	broken.Store(true)

	if _, err := j.Begin(t.Context(), testEntry(1)); !errors.Is(err, ErrUncertain) {
		t.Errorf("Begin: %v, want ErrUncertain", err)
	}

	broken.Store(false)
	end(t, first, nil)

	syncs = 0

	end(t, second, nil)

	if syncs != 0 {
		t.Errorf("a removal took %d syncs", syncs)
	}
}
