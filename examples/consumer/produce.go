package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store/sqlstore"
)

// produce is the producer process. It places orders and publishes a message for each order. It prints done at the end.
func produce(ctx context.Context, t *task) error {
	db, err := open(t, orderDatabase)
	if err != nil {
		return err
	}

	_, js, err := connect(t.URL)
	if err != nil {
		return err
	}

	p := &producer{task: t, db: db, js: js}

	if t.Kit {
		err = p.all(ctx)
	} else {
		err = p.allWithoutKit(ctx)
	}

	if err == nil {
		say(done)
	}

	return err
}

type producer struct {
	*task

	db *sql.DB
	js jetstream.JetStream
}

// all places every order, and publishes the outbox from time to time. A restarted producer begins with the first order again, like a client
// that does not know the results of its calls.
func (p *producer) all(ctx context.Context) error {
	const batch = 50

	engine, err := newEngine(p.db) //nolint:contextcheck // its work in the background is its own
	if err != nil {
		return err
	}

	for number := 1; number <= p.Messages; number++ {
		if err := p.place(ctx, engine, number); err != nil {
			return err
		}

		if number%batch == 0 || number == p.Messages {
			if err := p.relay(ctx); err != nil {
				return err
			}
		}
	}

	return nil
}

// place places an order once. The order, the message and the record of the call are in one transaction.
func (p *producer) place(ctx context.Context, engine *onlyonce.Engine, number int) error {
	data := strconv.Itoa(number)

	for {
		_, err := engine.Do(ctx, onlyonce.Call{Method: "PlaceOrder", Key: "order-" + data, Request: []byte(data)},
			func(ctx context.Context) ([]byte, error) { return nil, p.write(ctx, number, data) })

		rejection, rejected := errors.AsType[*onlyonce.Rejection](err)
		if !rejected || rejection.RetryAfter == 0 {
			return err
		}

		time.Sleep(rejection.RetryAfter)
	}
}

// write writes the order and the message. The ID of the message is derived from the run. It is the same in every run of the call, even
// after the database was restored from a backup.
func (p *producer) write(ctx context.Context, number int, data string) error {
	id, err := onlyonce.DeriveExternal(ctx, "order placed")
	if err != nil {
		return err
	}

	tx := sqlstore.Tx(ctx)

	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (number) VALUES ($1)", number); err != nil {
		return err
	}

	p.at(inTransaction)

	_, err = tx.ExecContext(ctx, "INSERT INTO outbox (id, data) VALUES ($1, $2)", id, data)

	return err
}

// relay publishes the messages of the outbox in order. It removes a message when the stream has stored it. If relay dies in between, the
// message is published twice. The broker drops the copy while it remembers the ID. Later, the consumer recognises the ID for as long as it
// keeps its records.
func (p *producer) relay(ctx context.Context) error {
	for {
		var id, data string

		err := p.db.QueryRowContext(ctx, "SELECT id, data FROM outbox ORDER BY position LIMIT 1").Scan(&id, &data)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		if err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}

		if err := p.publish(ctx, data, jetstream.WithMsgID(id)); err != nil {
			return err
		}

		p.at(afterSending)

		// Not by the position: SQLite gives it to the next message if the outbox is empty.
		if _, err := p.db.ExecContext(ctx, "DELETE FROM outbox WHERE id = $1", id); err != nil {
			return fmt.Errorf("removing from the outbox: %w", err)
		}
	}
}

// publish publishes a message, and waits until the stream has stored it.
func (p *producer) publish(ctx context.Context, data string, opts ...jetstream.PublishOpt) error {
	return patiently(ctx, func(ctx context.Context) error {
		_, err := p.js.Publish(ctx, subject, []byte(data), opts...)

		return err
	})
}

// allWithoutKit does the usual: write a row, then publish. A restarted producer continues after the last row. The message of that row is
// lost.
func (p *producer) allWithoutKit(ctx context.Context) error {
	var last int
	if err := p.db.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM orders").Scan(&last); err != nil {
		return err
	}

	for number := last + 1; number <= p.Messages; number++ {
		if _, err := p.db.ExecContext(ctx, "INSERT INTO orders (number) VALUES ($1)", number); err != nil {
			return err
		}

		p.at(afterWriting)

		if err := p.publish(ctx, strconv.Itoa(number)); err != nil {
			return err
		}
	}

	return nil
}
