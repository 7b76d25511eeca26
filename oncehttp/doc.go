// Package oncehttp makes requests of net/http safe to retry: the handler runs once for each idempotency key, and every duplicate gets the
// same answer.
//
//	protect, err := oncehttp.Middleware(engine, oncehttp.ScopeFunc(caller),
//		oncehttp.WithRoute("POST /payments", oncehttp.Policy{Key: oncehttp.KeyRequired}))
//	…
//	server := &http.Server{Handler: authenticate(protect(mux))}
//
// The server side reads the request header Idempotency-Key. It follows draft-ietf-httpapi-idempotency-key-header-07 and is stricter in
// places; docs/http.md has the contract and the differences. The middleware works with every router that is an http.Handler.
//
// The client side is a [Transport]. It gives every logical request one key and retries it with that key. With [WithJournal] a request
// outlives its process: see [Transport.Resume].
//
// # Where the middleware goes
//
// Put it behind everything that recovers, measures, authenticates, authorizes or limits, and in front of the router or the handler.
// What is behind it runs for the first request of a key, and not for its duplicates. Everything that reads the body must be behind it,
// except for handlers that parse an urlencoded form.
//
// # What the handler gets
//
//   - The request body is complete: it was read before the handler runs, because the key is bound to it. Policy.MaxRequest bounds it.
//   - The context of the request is that of the run. It is not cancelled when the client leaves. See onlyonce.RunFromContext.
//   - The answer is collected until it is recorded, and then sent. It must be complete when the handler returns: docs/http.md has the
//     remedy for echo, which answers errors later. Two kinds of answers are sent at once: an answer that is larger than
//     Policy.MaxOutcome, and an answer that the handler flushes. Their status comes in the trailer Idempotency-Status, and duplicates get
//     IDEMPOTENCY_OUTCOME_NOT_STORED. Under ExactlyOnce nothing is sent before the commit: a flush does nothing.
//   - A hijacked connection belongs to the handler. Duplicates get IDEMPOTENCY_OUTCOME_NOT_STORED.
//
// The status decides whether an answer is definite: see [Policy].Classes. A handler that knows better calls [NotExecuted] or [Final].
package oncehttp
