// Package oncegateway puts grpc-gateway v2 in front of servers with the kit: the contract of gRPC becomes the contract over HTTP.
//
//	mux := runtime.NewServeMux(oncegateway.Options()...)
//	err := paymentsv1.RegisterPaymentServiceHandler(ctx, mux, conn)
//	…
//	err = oncegateway.Validate(mux)
//
// Without it, grpc-gateway drops the header Idempotency-Key, so that no call is protected, and loses the trailers of the answer.
//
// [Options] makes a mux read and write the headers of the contract, and answer rejections with the statuses of the contract. [Validate]
// checks at start-up that later options have not undone this.
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
