// Package calltarget names the server of a call that has no *grpc.ClientConn, for transports that borrow the client interceptor.
package calltarget

import "google.golang.org/grpc"

// Option names the server of a call. The client interceptor uses it if the call has no connection.
type Option struct {
	grpc.EmptyCallOption

	Name string
}
