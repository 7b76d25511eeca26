// Command consumer shows a chain that converges: a producer with an outbox, NATS JetStream, and consumers.
//
//	go run . demo
//
// The producer places orders. A run writes the order and the outgoing message in one transaction. The id of the message is derived from the
// run, so it is the same whoever publishes the message, and however often. A relay publishes what is in the outbox, and removes it when the
// stream has stored it. A consumer charges each order. Its row and the record of the message are in one transaction, too.
//
// The demo kills producers and consumers with SIGKILL at their worst moments, and the broker between them. It does so twice: first to
// programs without the kit, which write a row and then publish, and write a row and then acknowledge.
package main
