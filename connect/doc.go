// Package onceconnect makes unary calls of connect-go safe to retry: the handler runs once for each idempotency key, and every duplicate
// gets the same answer.
//
// The package adapts package interceptor to connect-go. Options, annotations, fingerprints, records and rejections are the same as on
// grpc-go. So a service may move from grpc-go to connect-go, or back, between two attempts of a call. The server side works for the three
// protocols of connect-go: Connect, gRPC and gRPC-Web.
//
//	protect, err := interceptor.NewServer(engine, scope, opts...)
//	…
//	server := onceconnect.NewServer(protect)
//	err = server.Validate(paymentsv1connect.PaymentServiceName)
//	…
//	mux.Handle(paymentsv1connect.NewPaymentServiceHandler(payments, connect.WithInterceptors(server)))
//	http.ListenAndServe(address, onceconnect.Handler(mux))
//
// The client side gives every logical call one key and retries it with that key:
//
//	client, err := onceconnect.NewClient()
//	…
//	payments := paymentsv1connect.NewPaymentServiceClient(onceconnect.HTTPClient(nil), url, connect.WithInterceptors(client))
//
// docs/connect.md lists what differs from grpc-go.
package onceconnect
