package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

// callError is one of the errors of calls.
type callError onlyonce.Verdict

func (e callError) Error() string             { return e.Verdict().String() }
func (e callError) Verdict() onlyonce.Verdict { return onlyonce.Verdict(e) }

const (
	errNotExecuted = callError(onlyonce.VerdictNotExecuted)
	errUnknown     = callError(onlyonce.VerdictUnknown)
)

func end(t *testing.T, call *Call, err error) {
	t.Helper()

	if err := call.End(t.Context(), err); err != nil {
		t.Fatalf("End: %v", err)
	}
}

func TestOnlyUnknownOutcomesAreLeft(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)

	end(t, begin(t, j, 1), nil)
	end(t, begin(t, j, 2), errNotExecuted)
	end(t, begin(t, j, 3), errUnknown)
	end(t, begin(t, j, 4), errors.New("from anywhere"))
	begin(t, j, 5) // it has not ended

	if got := keys(j); !slices.Equal(got, []string{"order-3", "order-4"}) {
		t.Errorf("left are %v", got)
	}

	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-3", "order-4", "order-5"}) {
		t.Errorf("after a restart, left are %v", got)
	}
}

func TestAFinalAnswerEndsTheSameCallsThatAreLeft(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)
	end(t, begin(t, j, 1), errUnknown)

	other := testEntry(1)
	other.Request = []byte("another request")

	call, err := j.Begin(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}

	end(t, call, errUnknown)

	if err := begin(t, j, 1).End(t.Context(), errNotExecuted); !errors.Is(err, ErrLeft) {
		t.Errorf("End: %v, want ErrLeft", err)
	}

	if j.Left() != 2 {
		t.Errorf("%d calls are left, want 2", j.Left())
	}

	end(t, begin(t, j, 1), nil)

	if left := j.waiting(testTarget); len(left) != 1 || string(left[0].Request) != "another request" {
		t.Errorf("left are %v, want the other request", left)
	}

	j.Close()

	if again := open(t, path); again.Left() != 1 {
		t.Errorf("after a restart, %d calls are left, want 1", again.Left())
	}
}

func TestConcurrentCallsShareASync(t *testing.T) {
	const callers = 64

	var (
		syncs    atomic.Int64
		begun    sync.WaitGroup
		together = make(chan struct{})
		first    = make(chan struct{})
		env      = realEnvironment()
	)

	env.sync = func(file *os.File) error {
		if syncs.Add(1) == 1 {
			close(first)
			<-together
		}

		return file.Sync()
	}

	path := journalPath(t)
	open(t, path).Close() // the file is there

	j := open(t, path, withEnvironment(env))
	store := storeOf(t, j)

	begun.Go(func() { begin(t, j, 0) })
	<-first

	for n := range callers {
		begun.Go(func() { begin(t, j, n+1) })
	}

	store.awaitQueued(callers) // for the first sync
	close(together)
	begun.Wait()

	if n := syncs.Load(); n != 2 {
		t.Errorf("%d calls took %d syncs, want 2", callers+1, n)
	}
}

func TestARemovalAfterAFinalAnswerNeedsNoSync(t *testing.T) {
	var syncs int

	env := realEnvironment()
	env.sync = func(file *os.File) error { syncs++; return file.Sync() }

	j := open(t, journalPath(t), withEnvironment(env))
	before := syncs
	call := begin(t, j, 1)

	if syncs != before+1 {
		t.Errorf("the call took %d syncs before it was sent, want 1", syncs-before)
	}

	before = syncs

	end(t, call, nil)

	if syncs != before {
		t.Errorf("the removal took %d syncs", syncs-before)
	}

	call = begin(t, j, 2)
	before = syncs

	end(t, call, errNotExecuted)

	if syncs != before+1 {
		t.Errorf("the removal of a call that was not executed took %d syncs, want 1", syncs-before)
	}
}

// Until the folder is on the disk, the old file may come back after a power failure.
func TestTheFolderIsSyncedAfterTheFileIsReplaced(t *testing.T) {
	var steps []string

	env := realEnvironment()
	env.at = func(point string) { steps = append(steps, point) }
	env.sync = func(file *os.File) error {
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			steps = append(steps, "folder synced")
		}

		return errors.Join(err, file.Sync())
	}

	open(t, journalPath(t), withEnvironment(env))

	if want := []string{"new file written", "new file synced", "replaced", "folder synced"}; !slices.Equal(steps, want) {
		t.Errorf("the steps are %v, want %v", steps, want)
	}
}

// The program has given the call to somebody, who must not get it again after a power failure.
func TestTheRemovalOfACallThatIsHandedOverIsSynced(t *testing.T) {
	var syncs int

	env := realEnvironment()
	env.sync = func(file *os.File) error { syncs++; return file.Sync() }

	j := open(t, journalPath(t), withEnvironment(env))
	end(t, begin(t, j, 1), errUnknown)

	before := syncs

	if _, err := j.Resume(t.Context(), testTarget, nil,
		WithAccept(func(Entry) error { return errUnknown }), OnUnsent(func(context.Context, Entry, error) error { return nil })); err != nil {
		t.Fatal(err)
	}

	if syncs != before+1 {
		t.Errorf("the removal took %d syncs, want 1", syncs-before)
	}
}

// fullDisk fails while full is set, after half of the data.
func fullDisk(full *atomic.Bool) environment {
	env := realEnvironment()
	env.write = func(file *os.File, data []byte, at int64) (int, error) {
		if !full.Load() {
			return file.WriteAt(data, at)
		}

		n, err := file.WriteAt(data[:len(data)/2], at)

		return n, errors.Join(err, syscall.ENOSPC)
	}

	return env
}

func TestACallThatAFullDiskDoesNotTakeFailsAndLeavesNothing(t *testing.T) {
	var full atomic.Bool

	path := journalPath(t)
	j := open(t, path, withEnvironment(fullDisk(&full)))
	kept := begin(t, j, 1)
	removed := begin(t, j, 2)
	undone := begin(t, j, 3)

	full.Store(true)

	_, err := j.Begin(t.Context(), testEntry(4))
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUncertain) {
		t.Errorf("Begin: %v, want ENOSPC that was undone", err)
	}

	end(t, removed, nil) // the removal waits for the next write

	if err := undone.End(t.Context(), errNotExecuted); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("End of a call that was not executed: %v, want ENOSPC", err)
	}

	full.Store(false)
	begin(t, j, 5)
	end(t, kept, errUnknown)
	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-1", "order-5"}) {
		t.Errorf("left are %v", got)
	}
}

func TestCloseWritesTheRemovalsThatAFullDiskHasNotTaken(t *testing.T) {
	var full atomic.Bool

	path := journalPath(t)
	j := open(t, path, withEnvironment(fullDisk(&full)))
	removed := begin(t, j, 1)

	full.Store(true)
	end(t, removed, nil)
	full.Store(false)
	j.Close()

	if got := keys(open(t, path)); len(got) > 0 {
		t.Errorf("left are %v", got)
	}
}

func TestAFailedWriteThatCannotBeUndoneIsUncertainAndTheFileIsWrittenAnew(t *testing.T) {
	var broken atomic.Bool

	env := realEnvironment()
	env.sync = func(file *os.File) error {
		if broken.Load() {
			return syscall.EIO
		}

		return file.Sync()
	}

	path := journalPath(t)
	j := open(t, path, withEnvironment(env))
	begin(t, j, 1)
	broken.Store(true)

	if _, err := j.Begin(t.Context(), testEntry(2)); !errors.Is(err, ErrUncertain) {
		t.Errorf("Begin: %v, want ErrUncertain", err)
	}

	if _, err := j.Begin(t.Context(), testEntry(3)); err == nil || errors.Is(err, ErrUncertain) {
		t.Errorf("Begin on the broken file: %v, want an error that is certain", err)
	}

	broken.Store(false)
	begin(t, j, 4)
	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-1", "order-4"}) {
		t.Errorf("left are %v", got)
	}
}

func TestACallWhoseSyncFailedIsNotFoundLater(t *testing.T) {
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
	failing.Store(true)

	if _, err := j.Begin(t.Context(), testEntry(2)); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrUncertain) {
		t.Errorf("Begin: %v, want EIO that was undone", err)
	}

	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-1"}) {
		t.Errorf("left are %v", got)
	}
}

func TestTheBoundsHold(t *testing.T) {
	j := open(t, journalPath(t), WithMaxEntries(2))
	call := begin(t, j, 1)
	begin(t, j, 2)

	if _, err := j.Begin(t.Context(), testEntry(3)); !errors.Is(err, ErrFull) {
		t.Errorf("the third entry of two: %v, want ErrFull", err)
	}

	end(t, call, nil)
	begin(t, j, 3)

	small := open(t, journalPath(t), WithMaxBytes(leastBytes))
	large := testEntry(1)
	large.Request = make([]byte, leastBytes)

	if _, err := small.Begin(t.Context(), large); !errors.Is(err, ErrFull) {
		t.Errorf("a request of %d bytes: %v, want ErrFull", leastBytes, err)
	}

	begin(t, small, 1)

	large.Request = make([]byte, leastBytes-300)

	if _, err := small.Begin(t.Context(), large); !errors.Is(err, ErrFull) {
		t.Errorf("a request that does not fit beside another one: %v, want ErrFull", err)
	}

	for _, wrong := range []Option{WithMaxEntries(0), WithMaxBytes(1), WithMaxBytes(1 << 40)} {
		if _, err := Open(journalPath(t), wrong); err == nil || !strings.Contains(err.Error(), "WithMax") {
			t.Errorf("Open: %v", err)
		}
	}
}

func TestTheFileStaysSmall(t *testing.T) {
	const step = 10_000

	path := journalPath(t)
	j := open(t, path, withEnvironment(withoutSync()), withCompaction(step))
	begin(t, j, 0)

	for n := range 2000 {
		end(t, begin(t, j, n+1), nil)

		if info, err := os.Stat(path); err != nil || info.Size() > 2*step {
			t.Fatalf("after %d calls the file has %v bytes: %v", n, info.Size(), err)
		}
	}

	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-0"}) {
		t.Errorf("left are %v", got)
	}
}

// A process that ends soon must not leave its waste to the next one for ever.
func TestAFileThatAnEarlierProcessHasFilledBecomesSmall(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)

	for n := range 100 {
		end(t, begin(t, j, n), nil)
	}

	begin(t, j, 100)
	j.Close()

	j = open(t, path, withCompaction(1000))
	end(t, begin(t, j, 101), nil)
	j.Close()

	if info, err := os.Stat(path); err != nil || info.Size() > 500 {
		t.Errorf("the file with one call has %d bytes: %v", info.Size(), err)
	}

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-100"}) {
		t.Errorf("left are %v", got)
	}
}

func TestManyGoroutinesUseAJournal(t *testing.T) {
	path := journalPath(t)
	j := open(t, path, withEnvironment(withoutSync()), withCompaction(5000))

	var all sync.WaitGroup

	for caller := range 16 {
		all.Go(func() {
			for n := range 50 {
				call := begin(t, j, 1000*caller+n)

				switch n % 5 {
				case 0:
					end(t, call, errNotExecuted)
				case 1:
					end(t, call, errUnknown)
				default:
					end(t, call, nil)
				}
			}
		})
	}

	all.Wait()
	j.Close()

	again := open(t, path)
	if again.Left() != 16*10 || len(again.Damage()) > 0 {
		t.Errorf("%d calls are left, want %d; damage %v", again.Left(), 16*10, again.Damage())
	}
}

func TestAClosedJournalTakesNoCalls(t *testing.T) {
	path := journalPath(t)
	j := open(t, path)
	call := begin(t, j, 1)

	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	_, err := j.Begin(t.Context(), testEntry(2))
	for what, err := range map[string]error{"Begin": err, "End": call.End(t.Context(), nil), "Close": j.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

func ExampleOpen() {
	folder, _ := os.MkdirTemp("", "journal")
	defer os.RemoveAll(folder)

	calls, err := Open(folder + "/payments.journal")
	if err != nil {
		panic(err)
	}
	defer calls.Close()

	fmt.Println(calls.Left(), "calls are left")
	// Output: 0 calls are left
}
