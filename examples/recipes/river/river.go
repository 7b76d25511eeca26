// Package river contains a worker of https://riverqueue.com that calls a protected service. Each order has its own key, so the service
// charges once however often River works the job. The same works in a Temporal activity: make the key from the workflow ID.
package river

import (
	"context"
	"errors"

	"github.com/riverqueue/river"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	recipesv1 "github.com/onlyonce-go/onlyonce/examples/recipes/proto/recipes/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// PayArgs is a job.
type PayArgs struct {
	Order string `json:"order"`
	Cents int64  `json:"cents"`
}

// Kind implements [river.JobArgs].
func (PayArgs) Kind() string { return "pay" }

// PayWorker works the jobs. Its client uses the kit: see [interceptor.DialOptions].
type PayWorker struct {
	river.WorkerDefaults[PayArgs]

	Payments recipesv1.PaymentServiceClient
}

// Work implements [river.Worker]. The key is made from the order, not from the job, so two jobs for one order pay once.
func (w *PayWorker) Work(ctx context.Context, job *river.Job[PayArgs]) error {
	key, err := onlyonce.KeyFrom("pay", job.Args.Order)
	if err != nil {
		return river.JobCancel(err)
	}

	request := &recipesv1.PayRequest{Account: job.Args.Order, Cents: job.Args.Cents}

	_, err = w.Payments.Pay(ctx, request, interceptor.WithKey(key))

	switch {
	case err == nil:
		return nil
	case onlyonce.VerdictOf(err) == onlyonce.VerdictFinal:
		return river.JobCancel(errors.New(status.Convert(err).Message())) // another attempt gets the same answer
	default:
		return err // River works the job again with the same key
	}
}
