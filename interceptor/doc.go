// Package interceptor puts the engine of package onlyonce into gRPC: a server interceptor that runs the handler of a keyed
// unary call once and replays its outcome, and a client interceptor that gives every logical call one key and retries it.
//
// On a server, after the interceptors that recover panics, measure, authenticate, limit and validate, and before the
// handler:
//
//	protect, err := interceptor.NewServer(engine, interceptor.ScopeFromPeerURI())
//	…
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(recovery, telemetry, auth, limit, validate, protect.Unary))
//
// Whatever stands before it sees every call, replays included; whatever stands behind it runs once per key. How a method is
// treated is its [Policy]: by the options of the server, by the options that its .proto has from onlyonce/v1/options.proto, and
// by the engine. [Server.Validate] checks all of it at start-up.
//
// On a client, which reads the .proto as well:
//
//	dial, err := interceptor.DialOptions(interceptor.WithMethods(legacyv1.LegacyService_Pay_FullMethodName))
//	…
//	conn, err := grpc.NewClient(target, append(dial, grpc.WithTransportCredentials(creds))...)
//
// In a handler that runs under a key, the client derives the keys of its calls from that one, so that a run that is repeated repeats
// no effect: see docs/derived-keys.md, and onlyonce.WithStep for handlers that call a method more than once.
//
// Roll out servers first and clients second: a key makes nothing safe unless the server looks at it.
package interceptor
