// Package sqlcrash holds the tests that end and stop real processes whose records are in a database: gRPC servers with the
// interceptor, each of them the test binary itself, run again, and the database servers that they use.
//
// A handler writes one row for each run that counts, in the single transaction of its run or in one that it joins. So what there
// must be in the end can be read from the tables: one row and one record for each order. A server tells the test process about
// every step of a call; a test parks it at one of them, and kills or stops it there, or lets it kill itself at a random one.
//
// Consumers of NATS JetStream are killed in the same way. Their rows are in the transaction that records their message.
//
// There is nothing here but tests.
package sqlcrash
