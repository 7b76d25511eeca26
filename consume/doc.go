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
//   - Any other error, a panic, and runtime.Goexit are ambiguous: the effect may have happened. Under AtLeastOnce and ExactlyOnce the
//     handler runs again with the next delivery. Under AtMostOnce, the default, it does not: the outcome is unknown until a recovery
//     function or an operator settles it.
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
// # How attempts are counted
//
// onlyonce.Policy.MaxAttempts bounds the attempts; its default is 5. An attempt is a delivery that ran the handler. A delivery is not an
// attempt if the store was down or the message was being handled elsewhere. So give the queue itself no limit of deliveries, or one that is
// higher than that of [WithMaxDeliveries].
//
// The record counts the attempts. A single transaction that is rolled back leaves no record, so Message.Deliveries counts its attempts. A
// process counts by itself if Message.Deliveries is 0, or too high because a delivery ran nothing. Without Message.Deliveries, several
// processes may make more than MaxAttempts attempts. In a single transaction:
//   - A run that exceeds MaxRun and loses its transaction is an attempt. The last attempt becomes a dead letter with CausePoison and an
//     error that matches onlyonce.ErrMaxRun.
//   - A run in time whose commit fails is not an attempt.
//   - A run that kills its process is an attempt only if the queue counts it. The message is a dead letter after 100 deliveries: see
//     [WithMaxDeliveries].
//
// A message with an unknown outcome or a damaged record becomes a dead letter when it is delivered for the MaxAttempts-th time. If
// Message.Deliveries is 0, it becomes a dead letter at once, and under AtMostOnce never.
//
// A dead letter is not settled. Once an operator has settled its record, or the handler has been corrected, send it to the queue again with
// the same id.
//
// # Retention
//
// A message that is delivered after its record has expired is a new message. Set a onlyonce.Policy.Retention that is longer than the queue
// may keep a message, dead letters included, or use time-ordered keys: see [WithKeyRules].
package consume
