// Package consume makes the handler of a message queue act once for each message, however often the queue delivers it.
//
//	handle, err := consume.Handler(engine, "billing", consume.ByID, func(ctx context.Context, m *consume.Message) error {
//		return charge(ctx, m.Data)
//	})
//	…
//	decision := handle(ctx, &consume.Message{Source: "orders", ID: id, Data: body})
//
// A queue delivers a message again if it has not seen the acknowledgement: the consumer died, was slow, or the connection broke. The engine
// recognises the second delivery by its key, and the decision says what to do with it. The package knows no queue. An adapter turns what a
// queue delivered into a [Message], and carries out the [Decision]. There is one for NATS JetStream in consume/nats, one for RabbitMQ in
// consume/rabbitmq and one for Kafka in consume/kafka.
//
// # What identifies a message
//
// A [KeyFunc] returns the key of a message:
//   - [ByID] is the id that the producer gave it. It is the same if the producer sends the message twice, so it is the best choice.
//   - A business key, such as an order's number, is a function of your own. Use onlyonce.KeyFrom to make it of several parts.
//   - [ByPosition] is the place of the message in its queue, such as topic/partition/offset. A message that is sent twice has two.
//
// The identity of a message is the scope, the source and the key: see [Method]. The scope names the consumer. Two consumers that both act
// on every message of a queue need different scopes if they share a store.
//
// The content of a message, which is its key and data if [WithContent] is not set, belongs to the key. Another message with the same key
// and other content is not handled. It becomes a dead letter, because one of the two is a mistake of a producer.
//
// # What the error of a handler means
//
//   - nil: the message is done, and recorded as done.
//   - An error that is marked with onlyonce.Final is the answer to the message: it is recorded, and the handler does not run again.
//   - An error that is marked with onlyonce.NotExecuted had no effect. The message is delivered again, and the handler runs again.
//   - Any other error, and a panic, is ambiguous: the effect may have happened. Under AtLeastOnce and ExactlyOnce the handler runs
//     again with the next delivery. Under AtMostOnce, the default, it does not: the outcome is unknown until a recovery function or an
//     operator settles it.
//
// # What becomes of a message
//
//	done, now or in an earlier delivery                               Ack
//	a Final error                                                     DeadLetter, or Ack: see WithFinalErrors
//	the key is invalid or missing, expired, or used for other content DeadLetter
//	the handler failed, and has now run MaxAttempts times             DeadLetter
//	the handler failed                                                Redeliver
//	the message is being handled elsewhere                            Redeliver
//	its outcome is unknown, or its record is damaged                  Redeliver, and in the end DeadLetter: see below
//	the store is down or full, or the consumer is stopping            Redeliver
//
// The attempts are bounded by onlyonce.Policy.MaxAttempts, which is 5. A delivery that ran nothing, because the store was down or the
// message was being handled elsewhere, is not an attempt. So the queue itself must not drop a message after a few deliveries: give it no
// such limit, or a high one.
//
// A message with an unknown outcome or a damaged record is delivered again, MaxAttempts times in all. The last delivery becomes a dead
// letter. If Message.Deliveries is 0, the first one does, but none under AtMostOnce.
//
// A single transaction that is rolled back leaves no count in the store. Under ExactlyOnce with SingleTransaction, the attempts are counted
// in this way:
//   - Message.Deliveries counts them.
//   - After a process has seen a delivery that ran nothing, it counts the further attempts itself, because Message.Deliveries is then too
//     high.
//   - If Message.Deliveries is 0, each process counts its own attempts. Several processes may then make more than MaxAttempts attempts.
//   - A run that takes longer than MaxRun and loses its transaction is an attempt. The last one becomes a dead letter with CausePoison and
//     an error that matches onlyonce.ErrMaxRun.
//   - A run in time whose commit fails is not an attempt.
//   - A run that kills its process is an attempt only if the queue counts it: see [WithMaxDeliveries].
//
// A dead letter is not settled. Once an operator has settled its record, or the handler has been corrected, send it to the queue again with
// the same id.
//
// # Retention
//
// A message that is delivered after its record has expired is a new message. Set a onlyonce.Policy.Retention that is longer than the queue
// may keep a message, dead letters included, or use time-ordered keys: see [WithKeyRules].
package consume
