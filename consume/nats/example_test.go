package oncenats_test

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
)

// A consumer of the stream ORDERS, until ctx ends.
func ExampleNew() { //nolint:testableexamples // it needs a server
	run := func(ctx context.Context, conn *nats.Conn, engine *onlyonce.Engine) error {
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}

		pull, err := js.Consumer(ctx, "ORDERS", "billing")
		if err != nil {
			return err
		}

		handle, err := consume.Handler(engine, "billing", consume.ByID, func(context.Context, *consume.Message) error { return nil })
		if err != nil {
			return err
		}

		consumer, err := oncenats.New(ctx, js, pull, handle, "dead.orders", oncenats.WithWorkers(4))
		if err != nil {
			return err
		}

		return consumer.Run(ctx)
	}

	_ = run
}
