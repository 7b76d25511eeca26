package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// witness is an observer that keeps what it sees.
type witness struct {
	mu   sync.Mutex
	seen []store.Event
}

func (w *witness) ObserveStore(_ context.Context, event store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.seen = append(w.seen, event)
}

// kinds returns how often each kind of event was seen.
func (w *witness) kinds() map[store.EventKind]int {
	w.mu.Lock()
	defer w.mu.Unlock()

	n := make(map[store.EventKind]int)
	for _, e := range w.seen {
		n[e.Kind]++
	}

	return n
}

// silentDriver is a database that answers nothing until a time.
type silentDriver struct{ until time.Time }

func (d silentDriver) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d silentDriver) Driver() driver.Driver                        { return nil }
func (d silentDriver) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (d silentDriver) Close() error                                 { return nil }
func (d silentDriver) Begin() (driver.Tx, error)                    { return nil, driver.ErrSkip }

func (d silentDriver) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	select {
	case <-time.After(time.Until(d.until)):
		return driver.RowsAffected(0), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d silentDriver) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	_, err := d.ExecContext(ctx, query, args)

	return &nothingDeleted{read: true}, err
}

func TestObserverSeesWhoWaitsForADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		w := new(witness)
		db := sql.OpenDB(silentDriver{time.Now().Add(time.Minute)})

		s, err := New(db, PostgreSQL, WithTable("public."+DefaultTable), WithoutCheck(), WithObserver(w))
		if err != nil {
			t.Fatal(err)
		}

		var calls sync.WaitGroup

		for range 2 * silentMost {
			calls.Go(func() { _, _ = s.Lookup(t.Context(), store.Key{}) })
		}

		calls.Wait()

		if n := w.kinds(); n[store.EventWait] != 0 {
			t.Errorf("before the database counts as silent, seen are %v", n)
		}

		if _, err := s.Lookup(t.Context(), store.Key{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an operation that waits: %v", err)
		}

		if n := w.kinds(); n[store.EventWait] != 1 {
			t.Errorf("when the database is silent, seen are %v", n)
		}

		_ = db.Close()
	})
}

func TestObserverSeesASweepThatIsSentAgain(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		w := new(witness)
		s, db, now, _ := running(t, answered("40001"), WithObserver(w))

		time.AfterFunc(pauseMost, func() { now.set(nil) })

		if _, err := s.Sweep(t.Context()); err != nil {
			t.Error(err)
		}

		n := w.kinds()
		if n[store.EventResend] == 0 || n[store.EventSweep] != 1 {
			t.Errorf("seen are %v", n)
		}

		if again := w.seen[0]; again.Operation != store.OperationSweep || again.Err == nil {
			t.Errorf("seen is %+v", again)
		}

		_ = db.Close()
	})
}

// A wait for room is an EventWait, and its end an operation that finds the store full. The database has refused nothing.
func TestObserverSeesARefusalOnlyIfTheDatabaseRefuses(t *testing.T) {
	t.Parallel()

	var (
		room = make(chan struct{}, 1)
		s    = &Store{room: room}
	)

	room <- struct{}{}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)

	_, err := s.enter(ctx, t.Context())
	if !errors.Is(err, store.ErrFull) || PostgreSQL.isRefused(err) {
		t.Errorf("no room: %v, refused: %t", err, PostgreSQL.isRefused(err))
	}

	refusals := []bool{PostgreSQL.isRefused(store.ErrFull), PostgreSQL.isRefused(answered("25006")), PostgreSQL.isRefused(answered("40001"))}
	if want := []bool{true, true, false}; !slices.Equal(refusals, want) {
		t.Errorf("full, read-only, undone: refused are %t, want %t", refusals, want)
	}
}
