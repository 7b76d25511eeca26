package oncenats_test

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
)

// The code of docs/queues.md.
var _ = func(
	ctx context.Context, engine *onlyonce.Engine, js jetstream.JetStream, pull jetstream.Consumer,
	charge func(context.Context, *consume.Message) error,
) error {
	handle, err := consume.Handler(engine, "billing", consume.ByID, charge)
	if err != nil {
		return err
	}

	consumer, err := oncenats.New(ctx, js, pull, handle, "dead.orders", oncenats.WithWorkers(4))
	if err != nil {
		return err
	}

	err = consumer.Run(ctx)

	return err
}
