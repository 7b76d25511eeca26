// Package interop runs the interoperability cases of grpc-go, see
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md, through the interceptors of the kit. It is a module of its
// own, because the cases link the authentication of Google's cloud.
package interop
