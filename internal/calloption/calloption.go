// Package calloption has call options of the client interceptor that only other packages of the kit use: transports that borrow the
// interceptor, and those that send the calls of a journal.
package calloption

import (
	"time"

	"google.golang.org/grpc"
)

// Target names the server of a call. The client interceptor uses it if the call has no *grpc.ClientConn.
type Target struct {
	grpc.EmptyCallOption

	Name string
}

// Resumed marks a call that an earlier process has written to its journal, and may have sent.
type Resumed struct {
	grpc.PerRPCCredsCallOption // fails the call if no interceptor removes the option

	Written     time.Time
	Unconfirmed bool // the first attempt may go to any server
}
