// Package crash contains the tests that kill and stop real processes.
//
// An embedded store dies with its process. So the test process keeps the store and serves it to the servers (package remotestore). It also
// runs a payment provider, whose effects survive the servers. The servers are the test binary itself: gRPC servers with the interceptor,
// each on its own TCP port.
//
// Most tests run twice, because the result must not depend on the store: also with Redis, to which every server connects directly. In the
// Redis tests, the store fails, too: it is cut off by a proxy, loses its data, or loses acknowledged data that was not replicated.
//
// A server reports every step of a call to the test process, and waits for a reply. At these points, the test parks the server, kills it
// with SIGKILL, or stops it with SIGSTOP. Leases are short for servers that will be killed and long for others, so a slow machine changes
// nothing.
//
// Apart from remotestore, this package contains only tests.
package crash
