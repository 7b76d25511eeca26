// Command consumer shows a chain that converges: a producer with an outbox, NATS JetStream, and consumers.
//
//	go run . demo
//
// The producer places orders. A run writes the order and the outgoing message in one transaction. The id of the message is derived from the
// run, so it is the same whoever publishes the message, and however often. A relay publishes what is in the outbox, and removes it when the
// stream has stored it. A consumer charges each order. Its row and the record of the message are in one transaction, too.
//
// The demo kills producers and consumers with SIGKILL at their worst moments, and the broker between them. With the kit, the producer also
// loses its database, and places its orders again after the database has come back from a backup. JetStream has forgotten the ids by then,
// so the stream stores those messages twice. The consumers recognise the ids.
//
// The demo runs twice. The first run is without the kit: its programs write a row and then publish, and write a row and then acknowledge.
package main
