package interceptor

import "net"

// delivery shows whether an attempt may have reached a server. An inner interceptor may make several calls for one attempt. grpc-go calls
// OnFinish at the end of each call, and sets the peer when a call has a stream on a connection.
//   - An attempt whose calls ended without a peer was never sent. Later calls, and gRPC's own retries, do not remove the peer.
//   - If OnFinish was not called, nothing is known: an inner interceptor answered the attempt, abandoned it, or did not pass its options
//     on.
type delivery struct {
	calls int      // calls that have ended
	err   error    // the error of the last call
	addr  net.Addr // of the last peer; unsent if there was no stream; nil if its connection has no address
}

// unsent is the address of the peer until there is a stream. It differs from nil, which some connections have as their address.
type unsent struct{}

func (unsent) Network() string { return "" }
func (unsent) String() string  { return "" }

// streamed reports whether a call of the attempt may have had a stream.
func (d *delivery) streamed() bool {
	_, none := d.addr.(unsent)

	return !none
}

// nothingSent reports that certainly no handler got the request. Err is the error of the attempt. Answered reports whether a gRPC answer
// has arrived. Err belongs to the last call, so it counts only if there was a single call.
func (d *delivery) nothingSent(err error, answered bool) bool {
	if d.calls > 0 && !d.streamed() {
		return true
	}

	return d.calls == 1 && !answered && unprocessed(err) || d.refusedHere(err, answered)
}

// refusedHere reports that gRPC on the client refused the request, because it cannot be encoded or is too large. The stream may be open by
// then, but no handler runs without a request.
func (d *delivery) refusedHere(err error, answered bool) bool {
	return d.calls == 1 && !answered && notEncoded(err)
}

// sentTwice reports that several calls were made for the attempt. The answer is the answer to the last call.
func (d *delivery) sentTwice() bool { return d.calls > 1 && d.streamed() }

// returned reports whether err, the error of the attempt, has the code that gRPC returned. Otherwise an inner interceptor has replaced the
// error.
func (d *delivery) returned(err error) bool {
	return d.calls > 0 && statusOf(d.err).Code() == statusOf(err).Code()
}
