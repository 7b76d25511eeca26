package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	orderStream = "ORDERS"
	deadStream  = "DEAD"
	subject     = "orders.placed"
	deadSubject = "dead.orders"
	billing     = "billing" // the consumers share it

	// ackWait is the time after which JetStream redelivers an unacknowledged message.
	ackWait = time.Second

	// duplicates is how long the stream of orders drops messages with a known ID. It is the minimum of JetStream, so that messages arrive
	// twice. The default is two minutes.
	duplicates = 100 * time.Millisecond
)

// serveBroker runs a NATS server. It prints its URL when it is ready.
func serveBroker(ctx context.Context, t *task) error {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: t.Port, JetStream: true, StoreDir: filepath.Join(t.Folder, "nats"), NoLog: true, NoSigs: true,
		SyncAlways: true,
	})
	if err != nil {
		return err
	}

	s.Start()

	if !s.ReadyForConnections(time.Minute) {
		return errors.New("the broker does not start")
	}

	say(s.ClientURL())
	<-ctx.Done()

	return nil
}

// connect connects to a broker that may be down for a while.
func connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // failed messages come again
	if err != nil {
		return nil, nil, err
	}

	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()

		return nil, nil, err
	}

	return conn, js, nil
}

// makeStreams creates the stream of orders, which keeps messages until they are acknowledged, and the stream of dead letters.
func makeStreams(ctx context.Context, js jetstream.JetStream) error {
	// A try that has succeeded without an answer is repeated: a stream with the same configuration is no error.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	for _, config := range []*jetstream.StreamConfig{
		{Name: orderStream, Subjects: []string{"orders.>"}, Retention: jetstream.WorkQueuePolicy, Duplicates: duplicates},
		{Name: deadStream, Subjects: []string{"dead.>"}},
	} {
		err := patiently(ctx, func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, *config)

			return err
		})
		if err != nil {
			return fmt.Errorf("making the stream %s: %w", config.Name, err)
		}
	}

	err := patiently(ctx, func(ctx context.Context) error {
		_, err := js.CreateConsumer(ctx, orderStream, jetstream.ConsumerConfig{
			Durable: billing, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1,
		})

		return err
	})
	if err != nil {
		return fmt.Errorf("making the consumer %s: %w", billing, err)
	}

	return nil
}

// patiently retries while the broker is down.
func patiently(ctx context.Context, do func(ctx context.Context) error) error {
	const pause = 50 * time.Millisecond

	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := do(once)

		cancel()

		if err == nil || ctx.Err() != nil {
			return err
		}

		time.Sleep(pause)
	}
}
