// Package sqlcrash contains the tests that kill and stop real processes with records in a database. The processes are gRPC servers with the
// interceptor, each the test binary itself, and database servers.
//
// A handler writes one row for each run, in the single transaction of its run or in a transaction that the record joins. So the tables show
// the result: one row and one record for each order. A server reports every step of a call to the test process. The test parks, kills or
// stops it at a step, or lets it kill itself at a random step.
//
// Consumers of NATS JetStream are killed in the same way. Their rows are in the transaction that records their message.
//
// This package contains only tests.
package sqlcrash
