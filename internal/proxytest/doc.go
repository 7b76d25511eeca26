// Package proxytest stands between clients and a server, and loses exactly the requests or replies that a test chooses.
//
// A [Plan] holds the faults of all proxies in front of the servers of one test, records what the clients send, and counts
// round trips. Package redistest and package sqltest give it their protocols, each as a [Dialogue]. The type parameter C is
// what the protocol calls a command: faults are chosen by it.
//
// The functions that take a [testing.TB], and the methods of what they return, end the test when they fail, and so belong
// into its goroutine. [Plan.Dial] is for any goroutine.
package proxytest
