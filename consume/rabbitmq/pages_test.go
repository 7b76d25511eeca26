package oncerabbit_test

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
)

// The code of docs/queues.md.
var _ = func(ctx context.Context, handle oncerabbit.Handler, url string) error {
	consumer, err := oncerabbit.New("orders", handle, oncerabbit.ByPublishing("", "orders.dead"))
	if err != nil {
		return err
	}

	err = consumer.Run(ctx, func(context.Context) (*amqp.Connection, error) { return amqp.Dial(url) })

	return err
}
