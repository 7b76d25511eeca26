// Package oncegateway makes HTTP calls through grpc-gateway v2 safe to retry: it translates the contract over HTTP to the contract of gRPC,
// and back.
//
//	mux := runtime.NewServeMux(oncegateway.Options()...)
//	err := paymentsv1.RegisterPaymentServiceHandler(ctx, mux, conn)
//	…
//	err = oncegateway.Validate(mux)
//
// Without the package, grpc-gateway drops the header Idempotency-Key, so that no call is protected. It also loses the trailers of answers.
//
// [Options] makes a mux read and write the headers of the contract, and answer rejections with the statuses of the contract. [Validate]
// checks at start-up that other options have not undone this.
//
// # Handlers in one process
//
// RegisterXHandlerServer calls the implementation of a service without any interceptor: nothing is protected there, and each retry runs
// the handler again. Use one of these instead:
//   - An [InProcess] channel and RegisterXHandlerClient. The calls go through the interceptors, without a connection.
//   - [Guard] for single methods of an implementation that RegisterXHandlerServer calls.
//   - RegisterXHandler and a connection to the gRPC server, over TCP or in memory.
//
// A handler that must never run unprotected calls onlyonce.RequireRun first.
//
// # gRPC under net/http
//
// [ServeGRPC] serves a grpc.Server under net/http, for example on one port with the gateway.
package oncegateway
