// Package crash holds the tests that end and stop real processes.
//
// An embedded store dies with its process, so the test process keeps the store and serves it to the others (package
// remotestore), together with a payment provider whose effects outlive the process that asked for them. The servers are
// the test binary itself, run again: each is a gRPC server with the interceptor, on a TCP port of its own.
//
// Most of it is done twice, since what holds when a process ends must not depend on who keeps the records: also with Redis,
// which every server connects to by itself. With Redis it is also the store that goes away: behind a proxy, with its data,
// or with what it had acknowledged and not replicated.
//
// A server tells the test process about every step of a call, and goes on only when it is answered. That is where a test
// parks it, kills it with SIGKILL or stops it with SIGSTOP. Leases are short for those that will be killed and long for
// those that will not, so that a slow machine changes nothing.
//
// Package remotestore apart, there is nothing here but tests.
package crash
