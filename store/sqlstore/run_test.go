package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// outage is why a database does not work; nil where it does.
type outage struct {
	mu  sync.Mutex
	err error
}

func (o *outage) get() error {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.err
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.err = err
}

// refusingDriver is a database that answers every statement with an error.
type refusingDriver struct{ *outage }

func (d refusingDriver) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d refusingDriver) Driver() driver.Driver                        { return nil }
func (d refusingDriver) Prepare(string) (driver.Stmt, error)          { return nil, d.get() }
func (d refusingDriver) Close() error                                 { return nil }
func (d refusingDriver) Begin() (driver.Tx, error)                    { return nil, d.get() }

func (d refusingDriver) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if err := d.get(); err != nil {
		return nil, err
	}

	return &nothingDeleted{}, nil
}

// nothingDeleted is the answer of a sweep that finds nothing.
type nothingDeleted struct{ read bool }

func (*nothingDeleted) Columns() []string { return []string{"count", "max", "now"} }
func (*nothingDeleted) Close() error      { return nil }

func (r *nothingDeleted) Next(values []driver.Value) error {
	if r.read {
		return io.EOF
	}

	r.read = true
	values[0], values[1], values[2] = int64(0), nil, int64(1)

	return nil
}

type answered string

func (s answered) Error() string    { return "SQLSTATE " + string(s) }
func (s answered) SQLState() string { return string(s) }

// sweeps is an observer that keeps when sweeps have ended, and how.
type sweeps struct {
	mu     sync.Mutex
	ends   []end
	worked func() // is called when a sweep has not failed
}

type end struct {
	at  time.Time
	err error
}

func (s *sweeps) ObserveStore(_ context.Context, event store.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if event.Kind == store.EventSweep {
		s.ends = append(s.ends, end{time.Now(), event.Err})

		if event.Err == nil {
			s.worked()
		}
	}
}

func (s *sweeps) get() []end {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.ends)
}

// running is a store on such a database, and what its observer sees of sweeps.
func running(t *testing.T, answer error, opts ...Option) (s *Store, db *sql.DB, now *outage, seen *sweeps) {
	t.Helper()

	seen = &sweeps{worked: func() {}}
	now = &outage{err: answer}
	db = sql.OpenDB(refusingDriver{now})

	s, err := New(db, PostgreSQL, append([]Option{WithTable("public." + DefaultTable), WithoutCheck(), WithObserver(seen)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}

	return s, db, now, seen
}

func TestF94RunGoesOnWhateverTheDatabaseAnswersUntilItsContextEnds(t *testing.T) {
	t.Parallel()

	for _, answer := range []error{
		errors.New("connection refused"), answered("57P01"), answered("25006"), answered("55P03"), answered("28P01"), driver.ErrBadConn,
		context.DeadlineExceeded,
	} {
		synctest.Test(t, func(t *testing.T) {
			s, db, now, seen := running(t, answer)

			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)

			go func() { ended <- s.Run(ctx) }()

			time.Sleep(24 * time.Hour)
			synctest.Wait()

			failed := seen.get()
			if len(failed) < 24*60/2 || len(failed) > 24*60*3 {
				t.Errorf("%v: %d tries in a day", answer, len(failed))
			}

			for i, e := range failed {
				if i > 0 && e.at.Sub(failed[i-1].at) > 3*mostPause/2+s.timeout {
					t.Fatalf("%v: try %d is %v after the one before", answer, i, e.at.Sub(failed[i-1].at))
				}

				if e.err == nil {
					t.Fatalf("%v: try %d has not failed", answer, i)
				}
			}

			now.set(nil)

			time.Sleep(2 * mostPause)
			synctest.Wait()

			worked := seen.get()[len(failed):]
			if len(worked) < 3 {
				t.Errorf("%v: %d sweeps in %v", answer, len(worked), 2*mostPause)
			}

			for i, e := range worked {
				if e.err != nil {
					t.Errorf("%v: sweep %d: %v", answer, i, e.err)
				}

				if i > 0 && e.at.Sub(worked[i-1].at) > 3*DefaultSweepInterval/2 {
					t.Errorf("%v: sweep %d is %v after the one before", answer, i, e.at.Sub(worked[i-1].at))
				}
			}

			cancel()

			if err := <-ended; err != nil {
				t.Errorf("%v: Run returned %v", answer, err)
			}

			_ = db.Close()
		})
	}
}

func TestF94RunEndsWithAnErrorForWhatDoesNotGoAwayByItself(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		end      func(db *sql.DB, now *outage)
		min, max time.Duration // from the end on
	}{
		"a table that is missing": {func(_ *sql.DB, now *outage) { now.set(answered("42P01")) }, hopelessTime, hopelessTime + 3*mostPause},
		"a right that is missing": {func(_ *sql.DB, now *outage) { now.set(answered("42501")) }, hopelessTime, hopelessTime + 3*mostPause},
		"a handle that is closed": {func(db *sql.DB, _ *outage) { _ = db.Close() }, 0, 2 * mostPause},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, db, now, seen := running(t, answered("57P03"))
			began := time.Now().Add(time.Hour)

			time.AfterFunc(time.Hour, func() { tt.end(db, now) })

			err := s.Run(t.Context())
			ends := seen.get()

			if last := ends[len(ends)-1]; err == nil || !errors.Is(err, last.err) || !strings.Contains(err.Error(), "call Run again") {
				t.Errorf("%s: Run returned %v after %v", name, err, last.err)
			}

			if after := time.Since(began); after < tt.min || after > tt.max {
				t.Errorf("%s: Run returned after %v", name, after)
			}

			_ = db.Close()
		})
	}
}

// While a backup is restored, or a migration runs, a table is missing for some minutes.
func TestF94RunOutlivesATableThatIsMissingForSomeMinutesHoweverOftenItSweeps(t *testing.T) {
	t.Parallel()

	for _, every := range []time.Duration{time.Millisecond, DefaultSweepInterval, time.Hour} {
		for _, before := range []error{nil, errors.New("connection refused")} {
			synctest.Test(t, func(t *testing.T) {
				s, db, now, seen := running(t, answered("42P01"), WithSweep(every, 1000))
				missing := time.Duration(0)

				if before != nil {
					now.set(before)

					missing = time.Hour
					time.AfterFunc(missing, func() { now.set(answered("42P01")) })
				}

				time.AfterFunc(missing+hopelessTime-time.Second, func() { now.set(nil) })

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()

				seen.worked = cancel

				if err := s.Run(ctx); err != nil {
					t.Errorf("every %v: Run returned %v", every, err)
				}

				_ = db.Close()
			})
		}
	}
}

func TestF94HopelessFailuresAreCountedInARow(t *testing.T) {
	t.Parallel()

	var (
		begin    = time.Now()
		away     = errors.New("connection refused")
		missing  = errors.New("no table")
		hopeless = func(err error) bool { return errors.Is(err, missing) }
	)

	type sweep struct {
		err   error
		after time.Duration
	}

	for name, tt := range map[string]struct {
		sweeps []sweep
		want   bool
	}{
		"none":                          {nil, false},
		"three at once":                 {[]sweep{{missing, 0}, {missing, 0}, {missing, time.Millisecond}}, false},
		"three in five minutes":         {[]sweep{{missing, 0}, {missing, 0}, {missing, hopelessTime}}, true},
		"two in five minutes":           {[]sweep{{missing, 0}, {missing, hopelessTime}}, false},
		"a success among them":          {[]sweep{{missing, 0}, {missing, 0}, {nil, 0}, {missing, hopelessTime}}, false},
		"another failure among them":    {[]sweep{{missing, 0}, {missing, 0}, {away, 0}, {missing, hopelessTime}}, false},
		"three after another failure":   {[]sweep{{away, 0}, {missing, hopelessTime}, {missing, 0}, {missing, 0}}, false},
		"five minutes after that":       {[]sweep{{away, 0}, {missing, 0}, {missing, 0}, {missing, hopelessTime}}, true},
		"other failures for five hours": {[]sweep{{away, 0}, {away, time.Hour}, {away, 4 * time.Hour}}, false},
	} {
		now := begin

		var failed failures
		for _, s := range tt.sweeps {
			now = now.Add(s.after)
			failed = failed.after(s.err, hopeless(s.err), now)
		}

		if got := failed.last(now); got != tt.want {
			t.Errorf("%s: %+v, the end: %t, want %t", name, failed, got, tt.want)
		}
	}
}

// The listener is of use without a sweeper, which another user of the database may be.
func TestF94ListenerGoesOnWhereSweepsCannotWork(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s, db, now, seen := running(t, answered("42501"))
		heard := 0

		n, err := s.Notify(ListenerFunc(func(ctx context.Context, _ string, notify func(string)) error {
			notify("")

			heard++

			select {
			case <-time.After(time.Hour):
				return errors.New("connection lost")
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()

		time.AfterFunc(23*time.Hour, func() { now.set(nil) })

		if err := n.Run(ctx); err != nil || ctx.Err() == nil {
			t.Errorf("Run returned %v", err)
		}

		if heard < 20 {
			t.Errorf("it has listened %d times in a day", heard)
		}

		// Somebody learns of every failure, and sweeps work again when the right is there.
		all := seen.get()
		works := slices.IndexFunc(all, func(e end) bool { return e.err == nil })

		if works < 23*60/2 || slices.ContainsFunc(all[works:], func(e end) bool { return e.err != nil }) {
			t.Errorf("%d sweeps, of which number %d is the first that works", len(all), works)
		}

		_ = db.Close()
	})
}

func TestF94ListenerEndsWithTheSweeperWhereTheHandleIsClosed(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s, db, _, _ := running(t, nil)
		_ = db.Close()

		n, err := s.Notify(ListenerFunc(func(ctx context.Context, _ string, _ func(string)) error {
			<-ctx.Done()

			return ctx.Err()
		}))
		if err != nil {
			t.Fatal(err)
		}

		if err := n.Run(t.Context()); !closed(err) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestRunWaitsLongerTheMoreOftenASweepHasFailed(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		every    time.Duration
		failures int
		want     time.Duration
	}{
		{10 * time.Second, 0, 10 * time.Second},
		{10 * time.Second, 1, 10 * time.Second},
		{10 * time.Second, 2, 20 * time.Second},
		{10 * time.Second, 3, 40 * time.Second},
		{10 * time.Second, 4, mostPause},
		{time.Millisecond, 1 << 40, mostPause},
		{time.Hour, 7, time.Hour},
		{1<<63 - 1, 7, longestInterval},
	} {
		if got := backedOff(tt.every, tt.failures); got != tt.want {
			t.Errorf("every %v, after %d failures: %v, want %v", tt.every, tt.failures, got, tt.want)
		}
	}
}
