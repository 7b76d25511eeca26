package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// fileStore is the store of Open. The goroutine that has set busy owns the fields of disk: there is one at a time.
type fileStore struct {
	limits limits
	lock   *os.File
	disk   disk
	damage []Damage

	mu      sync.Mutex
	queue   *batch            // what the next write contains; nil: nothing
	busy    bool              // a goroutine writes
	idle    chan struct{}     // closed when nobody writes any more, after Close
	closed  bool              // nothing is written any more
	last    uint64            // the highest number of an entry of the file, removed or not
	live    map[uint64][]byte // the bodies of the calls that are not removed
	entries int               // in live, and on their way there
	bytes   int64             // of the records of these
}

// limits bound a journal.
type limits struct {
	entries int
	bytes   int64
	compact int64 // so much that is not needed makes a compaction worth its time
}

// mostFile is how large the file may become.
func (l limits) mostFile() int64 { return headerSize + 2*(l.bytes+l.compact) }

func openFile(path string, bounds limits, env environment) (*fileStore, error) {
	path, err := locate(path)
	if err != nil {
		return nil, err
	}

	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}

	device, err := deviceOf(filepath.Dir(path))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: the folder: %w", err), lock.Close())
	}

	s := &fileStore{
		limits: bounds, lock: lock, disk: disk{path: path, device: device, env: env}, live: make(map[uint64][]byte),
		idle: make(chan struct{}),
	}

	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.disk.close(), lock.Close())
	}

	return s, nil
}

// locate returns the absolute path of the file of a journal. All symbolic links to a file must have the lock of that file.
func locate(path string) (string, error) {
	info, err := os.Lstat(path) //nolint:gosec // the program chooses the path

	switch {
	case path == "":
		return "", errors.New("journal: the path is empty: name a file")
	case err == nil && info.Mode()&os.ModeSymlink != 0:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", fmt.Errorf("journal: the symbolic link leads to no file: %w", err)
		}

		return locate(path)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: %s is a folder or a device", ErrNotJournal, path)
	}

	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("journal: the absolute path: %w", err)
	}

	return path, nil
}

// load reads the file, or makes it.
func (s *fileStore) load() error {
	data, err := s.disk.open()

	switch {
	case errors.Is(err, os.ErrNotExist):
		return s.disk.rewrite(nil)
	case err != nil:
		return err
	case unfinishedHeader(data):
		return s.disk.rewrite(nil)
	}

	found, err := readContents(data)
	if err != nil {
		return fmt.Errorf("%w: %s", err, s.disk.path)
	}

	s.damage, s.last = found.damage, found.last

	for i := range found.calls {
		entry := &found.calls[i]
		body := encodeCall(entry)
		s.live[entry.ID] = body
		s.entries++
		s.bytes += recordSize(body)
	}

	if len(found.damage) > 0 || found.copies < 2 {
		if err := keepEvidence(s.disk.path); err != nil {
			return err
		}

		return s.disk.rewrite(s.bodies())
	}

	return s.disk.resume(&found)
}

// keepEvidence gives the damaged file a second name, so that it can be examined.
func keepEvidence(path string) error {
	for n := 1; ; n++ {
		err := os.Link(path, fmt.Sprintf("%s.damaged-%d", path, n))
		if err == nil {
			return nil
		}

		if !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("journal: keeping the damaged file: %w", err)
		}
	}
}

// recordSize is how much of the file a call takes, with its removal.
func recordSize(body []byte) int64 { return int64(len(body)) + 2*frameSize + 10 }

// bodies returns the calls that are not removed, oldest first.
func (s *fileStore) bodies() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()

	ids := make([]uint64, 0, len(s.live))
	for id := range s.live {
		ids = append(ids, id)
	}

	slices.Sort(ids)

	bodies := make([][]byte, 0, len(ids))
	for _, id := range ids {
		bodies = append(bodies, s.live[id])
	}

	return bodies
}

// Entries returns the calls that are not removed, oldest first.
func (s *fileStore) Entries(context.Context) ([]Entry, error) {
	bodies := s.bodies()
	entries := make([]Entry, 0, len(bodies))

	for _, body := range bodies {
		entry, err := decodeCall(body)
		if err != nil {
			return nil, err
		}

		entries = append(entries, entry)
	}

	return entries, nil
}

// Append writes a call and syncs it.
func (s *fileStore) Append(ctx context.Context, entry Entry) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}

	s.mu.Lock()

	s.last++
	entry.ID = s.last
	body := encodeCall(&entry)

	if err := s.admit(body); err != nil {
		s.mu.Unlock()

		return 0, err
	}

	return entry.ID, s.commit(operation{kind: kindCall, id: entry.ID, body: body}, true)
}

// admit reserves room for a call.
func (s *fileStore) admit(body []byte) error {
	size := recordSize(body)

	switch {
	case s.closed:
		return ErrClosed
	case s.entries >= s.limits.entries:
		return fmt.Errorf("%w: it has %d calls, the most it may have: see WithMaxEntries", ErrFull, s.entries)
	case size > s.limits.bytes-s.bytes:
		return fmt.Errorf("%w: it has %d of %d bytes, and the call needs %d: see WithMaxBytes", ErrFull, s.bytes, s.limits.bytes, size)
	}

	s.entries++
	s.bytes += size

	return nil
}

// Remove removes a call. If it is not durable, Remove does not wait for the disk.
func (s *fileStore) Remove(_ context.Context, id uint64, durable bool) error {
	s.mu.Lock()

	if s.closed {
		s.mu.Unlock()

		return ErrClosed
	}

	return s.commit(operation{kind: kindRemoval, id: id, body: appendRemoval(id)}, durable)
}

// Close writes what waits, and frees the lock.
func (s *fileStore) Close() error {
	s.mu.Lock()

	if s.closed {
		s.mu.Unlock()

		return ErrClosed
	}

	s.closed = true

	if s.queue != nil && !s.busy { // removals whose write has failed
		s.busy = true
		s.mu.Unlock()
		s.lead()
	} else {
		if !s.busy {
			close(s.idle)
		}

		s.mu.Unlock()
	}

	<-s.idle

	return errors.Join(s.disk.close(), s.lock.Close())
}

func newMarker() marker {
	var mark marker

	_, _ = rand.Read(mark[:]) // it never fails

	return mark
}
