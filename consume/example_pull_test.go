package consume_test

import (
	"context"
	"time"

	"github.com/onlyonce-go/onlyonce/consume"
)

// sqsQueue is what a consumer needs of SQS. The client of the AWS SDK fulfils it with a few lines.
type sqsQueue interface {
	// Receive requests one message. The visibility timeout of a message begins here, also if the message then waits in a slice.
	Receive(ctx context.Context) ([]sqsMessage, error)
	Delete(ctx context.Context, receipt string) error
	ChangeVisibility(ctx context.Context, receipt string, d time.Duration) error
	SendToDeadLetters(ctx context.Context, m sqsMessage, attributes map[string]string) error
}

type sqsMessage struct {
	Receipt, OrderID, Body string // OrderID is a message attribute of the producer
	Receives               int    // ApproximateReceiveCount
}

const visibility = 30 * time.Second

// consumeSQS handles the messages of an SQS queue, without an adapter. Call it in several goroutines.
func consumeSQS(ctx context.Context, queue sqsQueue, handle func(context.Context, *consume.Message) consume.Decision) error {
	for ctx.Err() == nil {
		received, err := queue.Receive(ctx)
		if err != nil {
			return err
		}

		for _, sqs := range received {
			m := &consume.Message{
				Source: "orders", ID: sqs.OrderID, Data: []byte(sqs.Body), Deliveries: sqs.Receives,
				Extend:      func(ctx context.Context) error { return queue.ChangeVisibility(ctx, sqs.Receipt, visibility) },
				ExtendEvery: visibility / 3,
			}

			if err := settleSQS(ctx, queue, sqs, m, handle(ctx, m)); err != nil {
				return err // SQS delivers the message again
			}
		}
	}

	return ctx.Err()
}

func settleSQS(ctx context.Context, queue sqsQueue, sqs sqsMessage, m *consume.Message, decision consume.Decision) error {
	ctx = context.WithoutCancel(ctx) // the decision stands, also if the consumer is stopping

	switch decision.Action {
	case consume.DeadLetter:
		if err := queue.SendToDeadLetters(ctx, sqs, decision.DeadLetterHeaders(m)); err != nil {
			return err
		}

		return queue.Delete(ctx, sqs.Receipt)
	case consume.Ack:
		return queue.Delete(ctx, sqs.Receipt)
	case consume.Redeliver:
	}

	return queue.ChangeVisibility(ctx, sqs.Receipt, decision.Delay) // SQS counts in whole seconds
}

// pubSubMessage is what a consumer needs of a message of Pub/Sub. The client of Google fulfils it with a few lines, and extends the
// acknowledgement deadline itself.
type pubSubMessage interface {
	ID() string
	Attributes() map[string]string
	Data() []byte
	Attempt() int // DeliveryAttempt, or 0 without a dead-letter policy
	Ack()
	Nack()
}

// receivePubSub is the callback of a subscription of Pub/Sub.
func receivePubSub(
	handle func(context.Context, *consume.Message) consume.Decision,
	deadLetters func(context.Context, *consume.Message, map[string]string) error,
) func(context.Context, pubSubMessage) {
	return func(ctx context.Context, pubSub pubSubMessage) {
		m := &consume.Message{
			Source: "orders", ID: pubSub.Attributes()["order-id"], Position: pubSub.ID(), Data: pubSub.Data(), Deliveries: pubSub.Attempt(),
		}

		decision := handle(ctx, m)

		switch decision.Action {
		case consume.DeadLetter:
			if deadLetters(ctx, m, decision.DeadLetterHeaders(m)) != nil {
				pubSub.Nack()

				return
			}

			pubSub.Ack()
		case consume.Ack:
			pubSub.Ack()
		case consume.Redeliver:
			pubSub.Nack() // the retry policy of the subscription has the delay
		}
	}
}

var (
	_ = consumeSQS
	_ = receivePubSub
)
