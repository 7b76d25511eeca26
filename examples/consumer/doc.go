// Command consumer shows a chain that converges: a producer with an outbox, NATS JetStream, and consumers.
//
//	go run . demo
//
// The producer places orders. A run writes the order and its message in one transaction. The ID of the message is derived from the run, so
// every publication has the same ID. A relay publishes the outbox, and removes a message when the stream has stored it. A consumer charges
// each order. Its row and the record of the message are in one transaction, too.
//
// The demo kills producers and consumers with SIGKILL at their worst moments, and the broker from time to time. With the kit, the producer
// also loses its database, restores a backup, and places its orders again. By then JetStream has forgotten the IDs, so the stream stores
// those messages twice. The consumers recognise the IDs.
//
// The demo runs twice. The first time, without the kit, programs write a row and then publish, and write a row and then acknowledge.
package main
