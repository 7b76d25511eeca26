package river_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/jobs"
	example "github.com/onlyonce-go/onlyonce/examples/jobs/river"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/internal/sqltest"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqltest.Shared(m)) }

var errBank = errors.New("the bank does not answer")

// queue is River and the records in one database.
type queue struct {
	pool    *pgxpool.Pool
	records *sqlstore.Store
}

func newQueue(t *testing.T) *queue {
	t.Helper()

	database := sqltest.PostgresDatabase(t)

	pool, err := pgxpool.New(t.Context(), database.DSN())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(pool.Close)

	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}

	db := database.DB(t)
	if err := sqlstore.Migrate(t.Context(), db, sqlstore.PostgreSQL); err != nil {
		t.Fatal(err)
	}

	records, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}

	return &queue{pool, records}
}

// process is a process with an engine, a client of River, and its events.
type process struct {
	engine *onlyonce.Engine
	client *river.Client[pgx.Tx]
	events <-chan *river.Event
}

// start starts a process. Its worker loses the results of the first attempts, as many as lost. River counts them as failures.
func (q *queue) start(t *testing.T, lost int32, pay func(context.Context, time.Time) error) *process {
	t.Helper()

	engine, err := onlyonce.New(q.records, onlyonce.WithPolicy(jobs.Policy()), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	worker := &forgetful{PayoutWorker: example.PayoutWorker{Payouts: &jobs.Payouts{Engine: engine, Pay: pay}}}
	worker.left.Store(lost)

	workers := river.NewWorkers()
	river.AddWorker(workers, worker)

	client, err := river.NewClient(riverpgxv5.New(q.pool), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}}, Workers: workers,
		RetryPolicy: atOnce{}, TestOnly: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}

	events, unsubscribe := client.Subscribe(river.EventKindJobCancelled, river.EventKindJobCompleted, river.EventKindJobFailed,
		river.EventKindJobSnoozed)

	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx := context.Background()

		<-client.Stopped() // it ends with t.Context
		unsubscribe()

		if err := engine.Drain(ctx); err != nil {
			t.Error(err)
		}
	})

	return &process{engine, client, events}
}

// insert inserts a job as often as there are schedulers.
func (p *process) insert(t *testing.T, times int) {
	t.Helper()

	for range times {
		if _, err := p.client.Insert(t.Context(), example.PayoutArgs{Day: "2026-11-29"}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// expect waits for the next events, whose order is known.
func (p *process) expect(t *testing.T, kinds ...river.EventKind) {
	t.Helper()

	for _, want := range kinds {
		select {
		case event := <-p.events:
			if event.Kind != want {
				t.Fatalf("%s: %v, want %s", event.Kind, event.Job.Errors, want)
			}
		case <-time.After(servertest.Patience):
			t.Fatalf("no %s", want)
		}
	}
}

// forgetful loses the result of jobs that it has worked, as a process does that dies before River has written it.
type forgetful struct {
	example.PayoutWorker

	left atomic.Int32
}

func (w *forgetful) Work(ctx context.Context, job *river.Job[example.PayoutArgs]) error {
	err := w.PayoutWorker.Work(ctx, job)
	if w.left.Add(-1) >= 0 {
		return errors.New("the process dies")
	}

	return err
}

// atOnce retries failed jobs at once.
type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

func TestJobWhoseResultIsLostPaysOnce(t *testing.T) {
	t.Parallel()

	var paid atomic.Int32

	p := newQueue(t).start(t, 1, func(context.Context, time.Time) error {
		paid.Add(1)

		return nil
	})

	p.insert(t, 1)
	p.expect(t, river.EventKindJobFailed, river.EventKindJobCompleted)

	if n := paid.Load(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

func TestTwoSchedulersPayOnceAndTheSecondJobIsSnoozedMeanwhile(t *testing.T) {
	t.Parallel()

	var (
		paid    atomic.Int32
		release = make(chan struct{})
	)

	p := newQueue(t).start(t, 0, func(context.Context, time.Time) error {
		paid.Add(1)
		<-release

		return nil
	})

	p.insert(t, 2)
	p.expect(t, river.EventKindJobSnoozed)
	close(release)

	for completed := 0; completed < 2; {
		select {
		case event := <-p.events:
			switch event.Kind {
			case river.EventKindJobCompleted:
				completed++
			case river.EventKindJobSnoozed:
			default:
				t.Fatalf("%s: %v", event.Kind, event.Job.Errors)
			}
		case <-time.After(servertest.Patience):
			t.Fatal("the jobs do not complete")
		}
	}

	if n := paid.Load(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

func TestJobWithAFinalErrorIsCancelledAndSoIsItsDuplicate(t *testing.T) {
	t.Parallel()

	var tried atomic.Int32

	p := newQueue(t).start(t, 0, func(context.Context, time.Time) error {
		tried.Add(1)

		return onlyonce.Final(errors.New("there is no such account"))
	})

	p.insert(t, 1)
	p.expect(t, river.EventKindJobCancelled)
	p.insert(t, 1)
	p.expect(t, river.EventKindJobCancelled)

	if n := tried.Load(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestJobWithAnUnknownOutcomeIsSnoozedUntilSomebodySettlesIt(t *testing.T) {
	t.Parallel()

	var tried atomic.Int32

	p := newQueue(t).start(t, 0, func(context.Context, time.Time) error {
		tried.Add(1)

		return errBank
	})

	p.insert(t, 1)
	p.expect(t, river.EventKindJobFailed, river.EventKindJobSnoozed)

	for rec, err := range p.engine.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		if err := p.engine.Resolve(t.Context(), rec, onlyonce.Happened("OK", nil).By("ann", "it is in the bank's list")); err != nil {
			t.Fatal(err)
		}
	}

	p.insert(t, 1) // the first job comes back in a minute
	p.expect(t, river.EventKindJobCompleted)

	if n := tried.Load(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}
