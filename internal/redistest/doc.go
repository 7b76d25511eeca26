// Package redistest runs real Redis servers for tests, and breaks the lines to them.
//
//	server := redistest.Standalone(t)
//	proxy := redistest.NewProxy(t, server.Addr())
//	client := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
//
//	lost := proxy.Next(redistest.LostReply, redistest.Named("evalsha"))
//
// There are single servers ([Standalone]), a master with a replica and its sentinels ([Sentinels]), and a cluster
// ([NewCluster]). All run on ports of their own with their files in the test's folder, and end with the test, or with its
// process. A [Proxy] makes the faults of package proxytest: it knows requests and replies, so that it can lose exactly one
// of them, and counts what passes. A [Plan] is what the proxies in front of several servers have in common.
//
// The functions that take a [testing.TB], and the methods of what they return, end the test when they fail, and so belong
// into its goroutine. The Dial method of a [Plan] is for any goroutine.
package redistest
