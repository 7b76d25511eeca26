package main

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncenats "github.com/onlyonce-go/onlyonce/consume/nats"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// workers is the number of messages that a consumer handles concurrently.
const workers = 4

// consumeOrders is the consumer process. It charges orders until it is killed.
func consumeOrders(ctx context.Context, t *task) error {
	db, err := open(t, chargeDatabase)
	if err != nil {
		return err
	}

	_, js, err := connect(t.URL)
	if err != nil {
		return err
	}

	pull, err := billingConsumer(ctx, js)
	if err != nil {
		return err
	}

	if !t.Kit {
		return chargeWithoutKit(ctx, t, db, pull)
	}

	return chargeWithKit(ctx, t, db, js, pull)
}

// billingConsumer waits for the broker and returns the consumer of the orders.
func billingConsumer(ctx context.Context, js jetstream.JetStream) (pull jetstream.Consumer, err error) {
	err = patiently(ctx, func(ctx context.Context) (err error) {
		pull, err = js.Consumer(ctx, orderStream, billing)

		return err
	})

	return pull, err
}

// chargeWithKit handles each message in the transaction of its record. A message that comes again is acknowledged without a second charge.
func chargeWithKit(ctx context.Context, t *task, db *sql.DB, js jetstream.JetStream, pull jetstream.Consumer) error {
	engine, err := newEngine(db) //nolint:contextcheck // its work in the background is its own
	if err != nil {
		return err
	}

	handle, err := consume.Handler(engine, billing, consume.ByID, func(ctx context.Context, m *consume.Message) error {
		return charge(ctx, t, m)
	})
	if err != nil {
		return err
	}

	var consumer *oncenats.Consumer

	err = patiently(ctx, func(ctx context.Context) (err error) {
		consumer, err = oncenats.New(ctx, js, pull, handle, deadSubject, oncenats.WithWorkers(workers),
			oncenats.WithObserver(func(*consume.Message, consume.Decision) { t.at(beforeAck) }))

		return err
	})
	if err != nil {
		return err
	}

	return consumer.Run(ctx)
}

// charge charges an order in the transaction of the message's record.
func charge(ctx context.Context, t *task, m *consume.Message) error {
	number, err := strconv.Atoi(string(m.Data))
	if err != nil {
		return onlyonce.Final(err) // redeliveries have the same data
	}

	if _, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO charges (number) VALUES ($1)", number); err != nil {
		return err
	}

	t.at(inTransaction)

	return nil
}

// chargeWithoutKit does the usual: write a row, then acknowledge. If the process dies in between, the message is handled again.
func chargeWithoutKit(ctx context.Context, t *task, db *sql.DB, pull jetstream.Consumer) error {
	failed := make(chan error, 1)

	consuming, err := pull.Consume(func(msg jetstream.Msg) {
		number, err := strconv.Atoi(string(msg.Data()))
		if err == nil {
			_, err = db.ExecContext(ctx, "INSERT INTO charges (number) VALUES ($1)", number)
		}

		t.at(beforeAck)

		if err = errors.Join(err, msg.Ack()); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}, jetstream.PullMaxMessages(workers))
	if err != nil {
		return err
	}
	defer consuming.Stop()

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
