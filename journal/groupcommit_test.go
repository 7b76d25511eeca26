package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestAFailedSyncFailsItsWholeGroupAndNoOther(t *testing.T) {
	const callers = 16

	var (
		syncs    atomic.Int64
		begun    sync.WaitGroup
		together = make(chan struct{})
		first    = make(chan struct{})
		env      = realEnvironment()
	)

	path := journalPath(t)
	open(t, path).Close() // the file is there

	env.sync = func(file *os.File) error {
		switch syncs.Add(1) {
		case 1:
			close(first)
			<-together
		case 2:
			return syscall.EIO
		}

		return file.Sync()
	}

	j := open(t, path, withEnvironment(env))
	store := storeOf(t, j)

	begun.Go(func() { begin(t, j, 0) })
	<-first

	errs := make([]error, callers)
	for n := range callers {
		begun.Go(func() { _, errs[n] = j.Begin(t.Context(), testEntry(n+1)) })
	}

	store.awaitQueued(callers)
	close(together)
	begun.Wait()

	for n, err := range errs {
		if !errors.Is(err, syscall.EIO) || errors.Is(err, ErrUncertain) {
			t.Errorf("caller %d: %v, want EIO that was undone", n, err)
		}
	}

	begin(t, j, callers+1)
	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-0", fmt.Sprintf("order-%d", callers+1)}) {
		t.Errorf("left are %v", got)
	}
}

// A removal that nobody waits for joins the group of a call that waits.
func TestACallIsSyncedAlthoughARemovalIsInItsGroup(t *testing.T) {
	var (
		syncs atomic.Int64
		begun sync.WaitGroup
		gate  = make(chan struct{})
		first = make(chan struct{})
		env   = realEnvironment()
	)

	path := journalPath(t)
	open(t, path).Close() // the file is there

	env.sync = func(file *os.File) error {
		if syncs.Add(1) == 2 {
			close(first)
			<-gate
		}

		return file.Sync()
	}

	j := open(t, path, withEnvironment(env))
	store := storeOf(t, j)
	removed := begin(t, j, 0)

	begun.Go(func() { begin(t, j, 1) })
	<-first
	begun.Go(func() { begin(t, j, 2) })
	store.awaitQueued(1)
	end(t, removed, nil)
	store.awaitQueued(2)
	close(gate)
	begun.Wait()

	if n := syncs.Load(); n != 3 {
		t.Errorf("three calls, one by one, took %d syncs, want 3", n)
	}
}

// The bounds count what is there.
func TestARemovalOfACallThatIsNotThereChangesNothing(t *testing.T) {
	j := open(t, journalPath(t), WithMaxEntries(1))
	store := storeOf(t, j)
	removed := begin(t, j, 1)

	for range 2 {
		if err := store.Remove(t.Context(), removed.entry.ID, true); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}

	begin(t, j, 2)

	if _, err := j.Begin(t.Context(), testEntry(3)); !errors.Is(err, ErrFull) {
		t.Errorf("the second entry of one: %v, want ErrFull", err)
	}
}

// A kernel may drop what could not be written, and report that once. That may be a removal without a sync of its own.
func TestAFileWhoseSyncFailedIsWrittenAnew(t *testing.T) {
	var failing atomic.Bool

	env := realEnvironment()
	env.sync = func(file *os.File) error {
		if failing.Swap(false) {
			return syscall.EIO
		}

		return file.Sync()
	}

	path := journalPath(t)
	j := open(t, path, withEnvironment(env))
	begin(t, j, 1)
	end(t, begin(t, j, 2), nil)

	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}

	failing.Store(true)

	if _, err := j.Begin(t.Context(), testEntry(3)); !errors.Is(err, syscall.EIO) {
		t.Errorf("Begin: %v, want EIO", err)
	}

	begin(t, j, 4)

	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("the file is the same as before the failed sync: %v", err)
	}

	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-1", "order-4"}) {
		t.Errorf("left are %v", got)
	}
}

// Close waits for the group that is being written and for those that queue, so that no call waits for ever.
func TestCloseWhileCallsAreWrittenLosesNoneThatBegan(t *testing.T) {
	const callers = 16

	var (
		begun    sync.WaitGroup
		once     sync.Once
		together = make(chan struct{})
		first    = make(chan struct{})
		env      = realEnvironment()
	)

	path := journalPath(t)
	open(t, path).Close() // the file is there

	env.sync = func(file *os.File) error {
		once.Do(func() {
			close(first)
			<-together
		})

		return file.Sync()
	}

	j := open(t, path, withEnvironment(env))
	store := storeOf(t, j)

	begun.Go(func() { begin(t, j, 0) })
	<-first

	for n := range callers {
		begun.Go(func() { begin(t, j, n+1) })
	}

	store.awaitQueued(callers)

	closed := make(chan error, 1)
	go func() { closed <- j.Close() }()

	store.await(func() bool { return store.closed })

	if _, err := j.Begin(t.Context(), testEntry(callers+1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Begin after Close: %v, want ErrClosed", err)
	}

	close(together)
	begun.Wait()

	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}

	if n := open(t, path).Left(); n != callers+1 {
		t.Errorf("%d calls are left, want %d", n, callers+1)
	}
}

func storeOf(t *testing.T, j *Journal) *fileStore {
	t.Helper()

	store, ok := j.store.(*fileStore)
	if !ok {
		t.Fatalf("the store is a %T", j.store)
	}

	return store
}

// awaitQueued waits until a number of records wait for the next write.
func (s *fileStore) awaitQueued(n int) {
	s.await(func() bool { return s.queue != nil && len(s.queue.operations) == n })
}

// await waits for something that the lock protects.
func (s *fileStore) await(is func() bool) {
	for {
		s.mu.Lock()
		done := is()
		s.mu.Unlock()

		if done {
			return
		}
	}
}
