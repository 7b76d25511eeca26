// Package oncekafka takes the records of Kafka topics as a member of a consumer group, and lets them act once, with package consume.
//
//	handle, err := consume.Handler(engine, "billing", consume.ByHeader("message-id"), charge)
//	…
//	consumer, err := oncekafka.New(handle, "orders.dead", []kgo.Opt{
//		kgo.SeedBrokers("localhost:9092"), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"),
//	})
//	…
//	err = consumer.Run(ctx)
//
// # The message
//
// The source of a message is the topic. Its position is topic/partition/offset, such as orders/3/1042. Kafka gives a record no other id,
// so Message.ID is empty unless [WithIDHeader] names a header of the producer.
//
// An id of the producer is the better key. A producer that sends a record twice makes two positions: the idempotent producer of Kafka
// recognises its own retries in one session, and nothing else. A topic that is deleted and made again begins at offset 0, as a topic on
// another cluster does. There, a position belongs to another record: package consume takes the record for one with a used key, and makes
// it a dead letter.
//
// # Order and redelivery
//
// The records of a partition are handled one after the other, and partitions side by side. A record is committed only after it was
// acknowledged or is a dead letter. Kafka does not deliver a single record again, so the consumer handles it again after the delay of the
// decision, and the records behind it wait. Fetching of the partition pauses meanwhile; other partitions go on.
//
// Kafka does not count deliveries. So Message.Deliveries counts those of this member since it got the partition, and begins at 1 again when
// the partition moves. It is less than the true number then. A record that always fails becomes a dead letter after MaxAttempts deliveries
// to one member. If its partition moves before, its handler runs more often than MaxAttempts.
//
// # Rebalances
//
// When a partition goes to another member, the consumer begins no more records of it, and waits for the one that is being handled: see
// [WithRevokeWait]. Then it commits what is done. A handler that needs longer goes on, and its record is not committed. The other member
// gets the record again, finds it in progress or its outcome, and handles no later record of the partition before: the order holds.
//
// # Transactions of Kafka
//
// They write records to several partitions, and the offsets of a group, all or nothing: exactly once from topic to topic. They cover
// nothing outside of Kafka. A payment, an e-mail or a row of a database happens twice if a process dies after it and before the commit.
// This package is for these.
package oncekafka
