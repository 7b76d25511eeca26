// Package oncenats makes consumers of NATS JetStream act once for each message.
//
//	handle, err := consume.Handler(engine, "billing", consume.ByID, charge)
//	…
//	consumer, err := oncenats.New(ctx, js, pull, handle, "dead.orders")
//	…
//	err = consumer.Run(ctx)
//
// A [Consumer] takes messages from a pull consumer, one for each worker, and so none waits in a buffer while its AckWait passes. It carries
// out each decision of the handler:
//   - Ack is a double acknowledgement: the server confirms it.
//   - Redeliver is a negative acknowledgement with the delay.
//   - DeadLetter publishes the message to another stream, waits until that has stored it, and terminates the message. The server confirms
//     that. If the dead letter is not stored, the consumer holds the message, and publishes again every 10 seconds.
//
// While the handler works, the consumer extends the AckWait of the message.
//
// # What identifies a message
//
// Message.Source is the name of the stream, and Message.ID the header Nats-Msg-Id. Message.Position is the name of the stream, a slash and
// the sequence. A stream that is deleted and made again counts from 1 again: a position then names another message, so use consume.ByID.
//
// JetStream itself drops a message with the id of one that it has stored in the last two minutes: see jetstream.StreamConfig.Duplicates.
// That covers producers that send twice in this time. It covers no consumer.
package oncenats
