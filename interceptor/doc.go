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
// Deploy servers first, then clients: a key is useless if the server does not read it.
package interceptor
