package river_test

import (
	"errors"
	"testing"

	queue "github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce/examples/recipes/internal/trial"
	"github.com/onlyonce-go/onlyonce/examples/recipes/river"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWorker(t *testing.T, payments *trial.Payments) *river.PayWorker {
	t.Helper()

	return &river.PayWorker{Payments: trial.Serve(t, grpc.NewServer(trial.NewServer(t).ServerOptions()...), payments)}
}

func job() *queue.Job[river.PayArgs] {
	return &queue.Job[river.PayArgs]{JobRow: new(rivertype.JobRow), Args: river.PayArgs{Order: "7", Cents: 100}}
}

func TestJobThatIsWorkedAgainPaysOnce(t *testing.T) {
	payments := new(trial.Payments)
	worker := newWorker(t, payments)

	for range 3 {
		if err := worker.Work(t.Context(), job()); err != nil {
			t.Error(err)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("paid %d times", n)
	}
}

func TestRefusalCancelsTheJob(t *testing.T) {
	payments := &trial.Payments{After: func(int) error { return status.Error(codes.FailedPrecondition, "the account is closed") }}
	worker := newWorker(t, payments)

	for range 2 {
		err := worker.Work(t.Context(), job())
		if _, ok := errors.AsType[*rivertype.JobCancelError](err); !ok {
			t.Errorf("got %v", err)
		}
	}

	if n := payments.Made(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestJobWithAnotherAmountIsNotPaid(t *testing.T) {
	payments := new(trial.Payments)
	worker := newWorker(t, payments)

	if err := worker.Work(t.Context(), job()); err != nil {
		t.Fatal(err)
	}

	other := job()
	other.Args.Cents++

	if err := worker.Work(t.Context(), other); err == nil || payments.Made() != 1 {
		t.Errorf("%v, paid %d times", err, payments.Made())
	}
}
