// Package calloption has call options of the client interceptor for other packages of the kit: for transports that use the interceptor
// without a gRPC connection, and for the calls of a journal.
package calloption

import (
	"time"

	"google.golang.org/grpc"
)

// Target names the server of a call that has no *grpc.ClientConn.
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
