package journal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// The defaults of a journal.
const (
	DefaultMaxEntries = 10_000
	DefaultMaxBytes   = 64 << 20
)

// The bounds of WithMaxBytes, and how much that is not needed makes the file be written anew.
const (
	leastBytes  = 4 << 10
	mostBytes   = 1 << 30
	compactStep = 4 << 20
)

// Store keeps the entries of a journal. Open makes one in a file. A Store is safe for concurrent use, and one Journal at a time has it.
type Store interface {
	// Append keeps an entry and returns its number, which is higher than all before. The entry must be durable when Append returns nil. If
	// Append fails, the entry must not be found later, or the error must match ErrUncertain. Append ignores the ID of the entry.
	Append(ctx context.Context, entry Entry) (id uint64, err error)
	// Remove removes an entry. If it must be durable, Remove returns once it is. Otherwise Remove may return before. To remove an entry
	// that is not there is no error.
	Remove(ctx context.Context, id uint64, durable bool) error
	// Entries returns all entries, oldest first.
	Entries(ctx context.Context) ([]Entry, error)
	// Close frees the store.
	Close() error
}

// Option changes a journal that Open opens.
type Option func(*config)

type config struct {
	limits limits
	env    environment
}

// WithMaxEntries sets how many calls the journal may have at a time: calls on their way, and calls that are left. The default is 10,000; at
// least 1. If a call exceeds the bound, it is not sent, and its error matches ErrFull.
func WithMaxEntries(n int) Option { return func(c *config) { c.limits.entries = n } }

// WithMaxBytes sets how many bytes all calls may have together, from 4 KiB to 1 GiB. The default is 64 MiB. The journal uses up to twice
// that much memory, and once more while it writes the file anew. Its file takes at most twice that much, plus 8 MiB. If a call exceeds the
// bound, it is not sent, and its error matches ErrFull.
func WithMaxBytes(n int64) Option { return func(c *config) { c.limits.bytes = n } }

// Open opens the journal in a file, or makes it, with the mode 0600. The folder must exist. The journal also uses the names path.lock,
// path.new and path.damaged-1 and so on. If the path is a symbolic link, the journal is the file that it leads to, and these names are
// beside that file. The errors are:
//   - ErrLocked, if the journal is open elsewhere. A process that has died has no lock.
//   - ErrNotJournal, if the file is something else.
//   - an error of the file system.
//
// Parts of the file that are damaged are no error: see Damage.
func Open(path string, opts ...Option) (*Journal, error) {
	c := config{limits: limits{entries: DefaultMaxEntries, bytes: DefaultMaxBytes, compact: compactStep}, env: realEnvironment()}
	for _, opt := range opts {
		opt(&c)
	}

	if c.limits.entries < 1 || c.limits.bytes < leastBytes || c.limits.bytes > mostBytes {
		return nil, fmt.Errorf("journal: the bounds are %d entries and %d bytes: give WithMaxEntries at least 1, and WithMaxBytes 4 KiB to 1 GiB",
			c.limits.entries, c.limits.bytes)
	}

	store, err := openFile(path, c.limits, c.env)
	if err != nil {
		return nil, err
	}

	j, err := New(context.Background(), store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}

	j.damage = store.damage

	return j, nil
}

// New makes a journal of a store, for stores of your own. It reads all entries. The journal closes the store.
func New(ctx context.Context, store Store) (*Journal, error) {
	entries, err := store.Entries(ctx)
	if err != nil {
		return nil, fmt.Errorf("journal: reading what was left: %w", err)
	}

	j := &Journal{store: store, left: make(map[uint64]Entry), same: make(map[identity]map[uint64]struct{})}
	for i := range entries {
		j.leave(entries[i])
	}

	return j, nil
}

// Journal keeps calls until their ends are known. It is safe for concurrent use.
type Journal struct {
	store  Store
	damage []Damage

	mu   sync.Mutex
	left map[uint64]Entry                 // the calls that nobody is sending
	same map[identity]map[uint64]struct{} // the numbers of these, and of those that Resume is sending
}

// identity is equal for entries that may be one call. Two targets may be names of the same servers.
type identity struct {
	method, key string
	request     [sha256.Size]byte
}

func (e *Entry) identity() identity {
	return identity{method: e.Method, key: e.Key, request: sha256.Sum256(e.Request)}
}

// Damage returns the parts of the file that were not readable when the journal was opened. It is empty if there were none.
func (j *Journal) Damage() []Damage { return slices.Clone(j.damage) }

// Left returns how many calls wait for Resume: those whose outcome is unknown, and those of an earlier process.
func (j *Journal) Left() int {
	j.mu.Lock()
	defer j.mu.Unlock()

	return len(j.left)
}

// Close closes the store, and frees the lock of the file. Calls that are on their way stay in the journal. A second Close returns
// ErrClosed.
func (j *Journal) Close() error { return j.store.Close() }

// Begin writes a call before its first attempt. It ignores the ID of the entry. A zero Written becomes the time of Begin. If Begin fails,
// do not send the call. If the error matches ErrUncertain or ErrLeft, nobody may use a new key. The journal keeps the Request: do not
// modify it.
func (j *Journal) Begin(ctx context.Context, entry Entry) (*Call, error) {
	if entry.Written.IsZero() {
		entry.Written = time.Now()
	}

	id, err := j.store.Append(ctx, entry)
	if err != nil && j.unsettled(&entry) {
		return nil, fmt.Errorf("%w: %w", ErrLeft, err)
	}

	if err != nil {
		return nil, err
	}

	entry.ID = id

	return &Call{journal: j, entry: entry}, nil
}

// Call is a call on its way.
type Call struct {
	journal *Journal
	entry   Entry
}

// End ends a call with its error, by the verdict of [onlyonce.VerdictOf]. Call End once.
//   - VerdictFinal: the call is removed, and so are the calls that are left with the same key and request. End does not wait for the disk.
//     If the process dies before the removal is written, Resume sends the call once more and gets the same answer.
//   - VerdictNotExecuted: the call is removed, and the removal is synced. If that fails, a later process may send the call: End returns an
//     error, and nobody may use a new key. The same holds if an earlier call with the same key and request is left. The error then matches
//     ErrLeft.
//   - VerdictUnknown: the call is left.
func (c *Call) End(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)

	switch onlyonce.VerdictOf(err) {
	case onlyonce.VerdictFinal:
		return c.journal.finish(ctx, &c.entry)
	case onlyonce.VerdictNotExecuted:
		if err := c.journal.store.Remove(ctx, c.entry.ID, true); err != nil {
			return fmt.Errorf("journal: removing a call that was not executed: %w", err)
		}

		if c.journal.unsettled(&c.entry) {
			return ErrLeft
		}

		return nil
	case onlyonce.VerdictUnknown:
		c.journal.leave(c.entry)
	}

	return nil
}

// finish removes a call whose answer is final, and those that are left and are the same.
func (j *Journal) finish(ctx context.Context, entry *Entry) error {
	err := j.store.Remove(ctx, entry.ID, false)
	for _, id := range j.takeSame(entry) {
		err = errors.Join(err, j.store.Remove(ctx, id, false))
	}

	return err
}

// takeSame takes the calls that are left and end with the answer to an entry. The servers of another target may have another answer.
func (j *Journal) takeSame(entry *Entry) []uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()

	if len(j.left) == 0 {
		return nil
	}

	var ids []uint64

	for _, id := range slices.Sorted(maps.Keys(j.same[entry.identity()])) {
		if left, ok := j.left[id]; ok && left.Target == entry.Target {
			ids = append(ids, id)

			delete(j.left, id)
			j.forget(&left)
		}
	}

	return ids
}

// unsettled reports whether the same call waits for Resume, or is being sent by it.
func (j *Journal) unsettled(entry *Entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()

	return len(j.same) > 0 && len(j.same[entry.identity()]) > 0
}

// leave makes a call one that waits for Resume.
func (j *Journal) leave(entry Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.left[entry.ID] = entry
	same := entry.identity()

	if j.same[same] == nil {
		j.same[same] = make(map[uint64]struct{})
	}

	j.same[same][entry.ID] = struct{}{}
}

// take makes a call that was left one on its way. It returns false if somebody else has taken it.
func (j *Journal) take(id uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()

	_, ok := j.left[id]
	delete(j.left, id)

	return ok
}

// settled forgets a call that was taken and is removed.
func (j *Journal) settled(entry *Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.forget(entry)
}

// forget makes an entry none of the same calls. The caller holds the lock.
func (j *Journal) forget(entry *Entry) {
	same := entry.identity()
	delete(j.same[same], entry.ID)

	if len(j.same[same]) == 0 {
		delete(j.same, same)
	}
}

// waiting returns the calls that were left for a target, oldest first.
func (j *Journal) waiting(target string) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()

	var entries []Entry

	for _, entry := range j.left { //nolint:gocritic // the copy is what is returned
		if entry.Target == target {
			entries = append(entries, entry)
		}
	}

	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })

	return entries
}
