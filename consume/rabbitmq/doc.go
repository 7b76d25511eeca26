// Package oncerabbit takes messages from a queue of RabbitMQ and lets them act once, with package consume.
//
//	handle, err := consume.Handler(engine, "billing", consume.ByID, charge)
//	…
//	consumer, err := oncerabbit.New("orders", handle, oncerabbit.ByPublishing("", "orders.dead"))
//	…
//	err = consumer.Run(ctx, func(context.Context) (*amqp.Connection, error) { return amqp.Dial(url) })
//
// # The message
//
// The source of a message is the queue, and its id is the property message-id, which the producer sets. RabbitMQ gives messages no id and
// no position of its own. Message.Key is nil: the routing key is the way of a message, and another one if somebody sends a dead letter to
// the queue again. [WithMessage] changes what the handler gets.
//
// # Deliveries
//
// A quorum queue counts the deliveries of a message. A classic queue says only whether there was one before, so Message.Deliveries is 1
// or, from the second one on, 0, which means unknown. Use a quorum queue. On a classic queue, a message whose outcome is unknown and must
// not run again is delivered until somebody settles its record.
//
// A stream of RabbitMQ takes no message back: see [ErrStream].
//
// # Redelivery
//
// RabbitMQ cannot deliver a message again after a delay of the consumer's choice. So the consumer holds the message for the delay, and
// then gives it back with basic.nack. A message that is held counts for the prefetch and for the consumer timeout.
//
// The other way is a second queue whose messages expire into the first one. It has one delay per queue, or a message that blocks those
// behind it, and moving a message there is not atomic. It does not survive what holding survives: if the process dies, RabbitMQ delivers
// a held message at once.
//
// The delivery limit of a quorum queue is 20 from RabbitMQ 4.0 on. Before 4.3, every delivery counts, so a message that is in progress
// elsewhere may reach the limit without a run. Give such queues the argument x-delivery-limit with a high number, and a dead-letter
// exchange.
//
// # The consumer timeout
//
// RabbitMQ has no way to extend a delivery. If a message is not acknowledged for 30 minutes, the server ends its consumer. Before 4.3 it
// closes the channel, and delivers all messages of the channel again. From 4.3 on it cancels the consumer, on quorum queues only.
// [Consumer.Run] then makes a new connection. The run goes on meanwhile, and the next delivery finds it in progress, or its outcome. A
// MaxRun below the timeout avoids all this: see [WithConsumerTimeout].
//
// # Connections
//
// [Consumer.Run] makes connections and uses each until it breaks. Acknowledgements belong to the channel of their delivery. So the
// connections must not have the recovery of amqp091: it continues to use a channel whose delivery tags begin again, and the
// acknowledgement of an old message could remove a new one. Run refuses such a connection.
package oncerabbit
