package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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

// running is a store on such a database, with what its Run has reported.
func running(t *testing.T, answer error) (s *Store, db *sql.DB, now *outage, events *[]RunEvent) {
	t.Helper()

	events = new([]RunEvent)
	now = &outage{err: answer}
	db = sql.OpenDB(refusingDriver{now})

	observed := WithRunObserver(func(e RunEvent) { *events = append(*events, e) })

	s, err := New(db, PostgreSQL, WithTable("public."+DefaultTable), WithoutCheck(), observed)
	if err != nil {
		t.Fatal(err)
	}

	return s, db, now, events
}

func TestF94RunGoesOnWhateverTheDatabaseAnswersUntilItsContextEnds(t *testing.T) {
	t.Parallel()

	for _, answer := range []error{
		errors.New("connection refused"), answered("57P01"), answered("25006"), answered("55P03"), answered("28P01"), driver.ErrBadConn,
		context.DeadlineExceeded,
	} {
		synctest.Test(t, func(t *testing.T) {
			s, db, now, events := running(t, answer)

			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)

			go func() { ended <- s.Run(ctx) }()

			time.Sleep(24 * time.Hour)
			synctest.Wait()

			all := *events
			if len(all) < 20*60 || len(all) > 60*60 {
				t.Errorf("%v: %d tries in a day", answer, len(all))
			}

			for i, e := range all {
				if e.Step != Sweeping || e.Err == nil || e.Failures != i+1 || e.Retry <= 0 || e.Retry > 3*mostPause/2 {
					t.Fatalf("%v: failure %d is %+v", answer, i+1, e)
				}
			}

			now.set(nil)

			time.Sleep(2 * mostPause)
			synctest.Wait()

			if next := (*events)[len(all)]; next.Err != nil || next.Failures == 0 {
				t.Errorf("%v: the first success is %+v", answer, next)
			}

			if last := (*events)[len(*events)-1]; last.Err != nil || last.Failures != 0 || last.Retry > 3*DefaultSweepInterval/2 {
				t.Errorf("%v: the last success is %+v", answer, last)
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

	for name, end := range map[string]func(db *sql.DB, now *outage){
		"a table that is missing": func(_ *sql.DB, now *outage) { now.set(answered("42P01")) },
		"a right that is missing": func(_ *sql.DB, now *outage) { now.set(answered("42501")) },
		"a handle that is closed": func(db *sql.DB, _ *outage) { _ = db.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, db, now, events := running(t, answered("57P03"))

			time.AfterFunc(time.Hour, func() { end(db, now) })

			err := s.Run(t.Context())
			last := (*events)[len(*events)-1]

			if err == nil || !errors.Is(err, last.Err) || last.Retry != 0 || !strings.Contains(err.Error(), "start Run again") {
				t.Errorf("%s: Run returned %v after %+v", name, err, last)
			}

			_ = db.Close()
		})
	}
}

// The listener is of use without a sweeper, which another user of the database may be.
func TestF94ListenerGoesOnWhereSweepsCannotWork(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		s, db, now, _ := running(t, answered("42501"))
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

		n.observeRun = func(RunEvent) {}

		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()

		if err := n.Run(ctx); !errors.Is(err, now.get()) || ctx.Err() == nil {
			t.Errorf("Run returned %v", err)
		}

		if heard < 20 {
			t.Errorf("it has listened %d times in a day", heard)
		}

		_ = db.Close()
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
