// Package interceptor puts the engine of package onlyonce into gRPC: a server interceptor that runs the handler of a keyed
// unary call once and replays its outcome, and a client interceptor that gives every logical call one key and retries it.
//
// On a server, the interceptor stands behind all others, directly in front of the handler:
//
//	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI())
//	…
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(recovery, telemetry, authenticate, authorize, limit, timeout, protect.Unary, validate),
//		grpc.ChainStreamInterceptor(recoverStream, authenticateStream, protect.Stream),
//	)
//
// Interceptors in front of it see every call, also replays. Interceptors behind it run once per key. Package interceptortest checks the
// order in a test. The [Policy] of a method comes from the options of the server, the options in its .proto (onlyonce/v1/options.proto),
// and the engine. [Server.Validate] checks it at start-up.
//
// On a client, which also reads the .proto:
//
//	dial, err := interceptor.DialOptions(interceptor.WithMethods(legacyv1.LegacyService_Pay_FullMethodName))
//	…
//	conn, err := grpc.NewClient(target, append(dial, grpc.WithTransportCredentials(creds))...)
//
// In a handler that runs under a key, the client derives the keys of its calls from this key. So a repeated run repeats no effect: see
// docs/derived-keys.md, and onlyonce.WithStep for handlers that call a method more than once.
//
// Deploy servers first, then clients: a key is useless if the server does not read it.
package interceptor
