// Package redistest runs real Redis servers for tests, and breaks the lines to them.
//
//	server := redistest.Standalone(t)
//	proxy := redistest.NewProxy(t, server.Addr())
//	client := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
//
//	lost := proxy.Next(redistest.LostReply, redistest.Named("evalsha"))
//
// There are single servers ([Standalone]), a master with a replica and sentinels ([Sentinels]), and a cluster ([NewCluster]). All use free
// ports and the folder of the test, and end with the test or with its process. A [Proxy] injects the faults of package proxytest. It knows
// requests and replies, so it can lose exactly one of them, and it counts commands. A [Plan] is shared by the proxies of several servers.
//
// Functions with a [testing.TB], and the methods of their results, fail the test on errors. Call them in the goroutine of the test. Only
// the Dial method of a [Plan] may be called in any goroutine.
package redistest
