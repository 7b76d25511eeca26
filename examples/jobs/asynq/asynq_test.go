package asynq_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/jobs"
	example "github.com/onlyonce-go/onlyonce/examples/jobs/asynq"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const queue = "default"

// process is a process with an engine and a server of asynq.
type process struct {
	engine    *onlyonce.Engine
	client    *asynq.Client
	inspector *asynq.Inspector
}

// start starts a process. Its handler loses the results of the first attempts, as many as lost.
func start(t *testing.T, lost int32, pay func(context.Context, time.Time) error) *process {
	t.Helper()

	redis := redistest.Standalone(t)
	// A command that is repeated after a timeout finds that its task exists.
	opt := asynq.RedisClientOpt{
		Addr: redis.Addr(), DialTimeout: servertest.Patience, ReadTimeout: servertest.Patience, WriteTimeout: servertest.Patience,
	}

	records, err := redisstore.Open(redis.URL(), redisstore.WithUnknownRetention(jobs.Retention))
	if err != nil {
		t.Fatal(err)
	}

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(jobs.Policy()), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	var left atomic.Int32

	left.Store(lost)

	handle := example.Handler(&jobs.Payouts{Engine: engine, Pay: pay})

	config := example.Config()
	config.Concurrency, config.LogLevel = 2, asynq.FatalLevel
	config.TaskCheckInterval, config.DelayedTaskCheckInterval = 10*time.Millisecond, 10*time.Millisecond

	delay := config.RetryDelayFunc
	config.RetryDelayFunc = func(retried int, err error, task *asynq.Task) time.Duration {
		if config.IsFailure(err) {
			return 0 // at once, and not after the 15 seconds of the default
		}

		return delay(retried, err, task)
	}

	server := asynq.NewServer(opt, config)

	err = server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		err := handle(ctx, task)
		if left.Add(-1) >= 0 {
			return errors.New("the process dies")
		}

		return err
	}))
	if err != nil {
		t.Fatal(err)
	}

	p := &process{engine, asynq.NewClient(opt), asynq.NewInspector(opt)}

	t.Cleanup(func() {
		server.Shutdown()

		if err := errors.Join(p.client.Close(), p.inspector.Close(), engine.Drain(context.Background()), records.Close()); err != nil {
			t.Error(err)
		}
	})

	return p
}

// enqueue enqueues a task that is kept when it has completed.
func (p *process) enqueue(t *testing.T) string {
	t.Helper()

	info, err := p.client.EnqueueContext(t.Context(), asynq.NewTask(example.TypePayout, []byte("2026-11-29")),
		asynq.Queue(queue), asynq.Retention(time.Hour))
	if err != nil {
		t.Fatal(err)
	}

	return info.ID
}

// expect waits until a task has a state, and has failed so many times.
func (p *process) expect(t *testing.T, id string, state asynq.TaskState, failures int) {
	t.Helper()

	servertest.Wait(t, fmt.Sprintf("task in state %s with %d failures", state, failures), func() error {
		info, err := p.inspector.GetTaskInfo(queue, id)
		if err != nil {
			return err
		}

		if info.State != state || info.Retried != failures {
			return fmt.Errorf("%s after %d failures: %s", info.State, info.Retried, info.LastErr)
		}

		return nil
	})
}

func TestTaskWhoseResultIsLostPaysOnce(t *testing.T) {
	t.Parallel()

	var paid atomic.Int32

	p := start(t, 1, func(context.Context, time.Time) error {
		paid.Add(1)

		return nil
	})

	p.expect(t, p.enqueue(t), asynq.TaskStateCompleted, 1)

	if n := paid.Load(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

func TestTwoSchedulersPayOnceAndTheSecondTaskComesBackWithoutAFailure(t *testing.T) {
	t.Parallel()

	var (
		paid             atomic.Int32
		running, release = make(chan struct{}), make(chan struct{})
	)

	p := start(t, 0, func(context.Context, time.Time) error {
		if paid.Add(1) == 1 {
			close(running)
		}

		<-release

		return nil
	})

	first := p.enqueue(t)
	<-running

	second := p.enqueue(t)
	p.expect(t, second, asynq.TaskStateRetry, 0)
	close(release)

	p.expect(t, first, asynq.TaskStateCompleted, 0)
	p.expect(t, second, asynq.TaskStateCompleted, 0)

	if n := paid.Load(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

func TestTaskWithAFinalErrorIsArchivedAndSoIsItsDuplicate(t *testing.T) {
	t.Parallel()

	var tried atomic.Int32

	p := start(t, 0, func(context.Context, time.Time) error {
		tried.Add(1)

		return onlyonce.Final(errors.New("there is no such account"))
	})

	for range 2 {
		p.expect(t, p.enqueue(t), asynq.TaskStateArchived, 0)
	}

	if n := tried.Load(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestTaskWithAnUnknownOutcomeComesBackUntilSomebodySettlesIt(t *testing.T) {
	t.Parallel()

	var tried atomic.Int32

	p := start(t, 0, func(context.Context, time.Time) error {
		tried.Add(1)

		return errors.New("the bank does not answer")
	})

	p.expect(t, p.enqueue(t), asynq.TaskStateRetry, 1) // a minute later it would try again, with the same answer

	for rec, err := range p.engine.ListUnknown(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}

		if err := p.engine.Resolve(t.Context(), rec, onlyonce.Happened("OK", nil).By("ann", "it is in the bank's list")); err != nil {
			t.Fatal(err)
		}
	}

	p.expect(t, p.enqueue(t), asynq.TaskStateCompleted, 0)

	if n := tried.Load(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}
