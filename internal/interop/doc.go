// Package interop runs the interoperability cases of grpc-go through the interceptors:
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md. It is a separate module, because the cases link the
// authentication of Google Cloud.
package interop
