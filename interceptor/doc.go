// Package interceptor runs the handler of a unary gRPC call once for each idempotency key, and answers every retry with the recorded
// outcome.
//
// # Servers
//
// [NewServer] makes the interceptors of a server from an engine of package onlyonce:
//
//	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI())
//	…
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(recovery, telemetry, authenticate, authorize, limit, timeout, protect.Unary, validate),
//		grpc.ChainStreamInterceptor(recoverStream, authenticateStream, protect.Stream),
//	)
//	…
//	err = protect.Validate(server)
//
// Interceptors in front of protect.Unary see every call, also replays. Interceptors behind it run once per key. Package interceptortest
// checks the order in a test. The [Policy] of a method comes from the options of the server, from the options in its .proto
// (onlyonce/v1/options.proto), and from the engine. [Server.Validate] checks it at start-up.
//
// # Clients
//
// [DialOptions] makes the interceptor of a client. It gives every call of a protected method one key, and retries the call with that key:
//
//	dial, err := interceptor.DialOptions(interceptor.WithMethods(legacyv1.LegacyService_Pay_FullMethodName))
//	…
//	conn, err := grpc.NewClient(target, append(dial, grpc.WithTransportCredentials(creds))...)
//
// The client reads the same .proto options. WithMethods adds methods whose .proto has none. In a handler that runs under a key, the client
// derives the keys of its calls from this key. So a repeated run repeats no effect: see docs/derived-keys.md, and onlyonce.WithStep for
// handlers that call a method more than once.
//
// # Which servers get retries
//
// A key is useless if the server does not read it. So deploy the servers first, then the clients. The client retries only methods that the
// server has confirmed: every answer of a protected method has the trailer idempotency-status. Each replica behind a connection confirms
// for itself, and each method. An attempt that certainly reached no handler, or whose answer has the trailer, is retried as configured. Any
// other failure is retried in these cases:
//
//	replica      the client has seen                                    retries after another failure
//	confirmed    an answer with the trailer                             as configured
//	presumed     no answer, and the .proto protects the method          if the connection broke before any answer
//	unconfirmed  no answer, and only an option protects the method      none
//	denied       OK, or an error of the application, without the        none, and the logger reports the server:
//	             trailer; 16 answers with it in a row end the denial    see WithClientLogger
//
// Retries go only to confirmed and presumed replicas. While one replica is denied, none is presumed. docs/retries.md has all the rules.
package interceptor
