package interceptor

import (
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// clientAnswer is the metadata and the delivery of one attempt.
type clientAnswer struct {
	header, trailer metadata.MD
	delivery        delivery
}

// answerWatch collects the answer to one attempt. Each attempt has its own answerWatch: an inner interceptor may abandon a call that still
// runs, and its late answer must not become the answer to a later attempt.
type answerWatch struct {
	header, trailer metadata.MD // gRPC sets these three before it calls OnFinish
	peer            peer.Peer

	mu     sync.Mutex
	answer clientAnswer // as it was when OnFinish was called
}

// options adds the options that collect the answer.
func (w *answerWatch) options(opts []grpc.CallOption) []grpc.CallOption {
	w.peer.Addr = unsent{}

	return slices.Clip(append(opts, grpc.Header(&w.header), grpc.Trailer(&w.trailer), grpc.Peer(&w.peer), grpc.OnFinish(w.finish)))
}

// finish records the end of a call. It resets the metadata, because a call without a stream does not overwrite it.
func (w *answerWatch) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.answer = clientAnswer{
		header: w.header, trailer: w.trailer, delivery: delivery{calls: w.answer.delivery.calls + 1, err: err, addr: w.peer.Addr},
	}
	w.header, w.trailer = nil, nil
}

// last returns the answer to the last call that has ended.
func (w *answerWatch) last() clientAnswer {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.answer
}

// answered reports whether a gRPC answer has arrived: it has at least a content type. After an error of an HTTP proxy, a reset or a broken
// connection there is no metadata.
func (a *clientAnswer) answered() bool { return len(a.header) > 0 || len(a.trailer) > 0 }

// replica returns the address of the server that the attempt was sent to. It is empty if the connection has none.
func (a *clientAnswer) replica() string { return replicaAt(a.delivery.addr) }

func replicaAt(addr net.Addr) string {
	if addr == nil {
		return ""
	}

	return addr.String()
}

// blind reports that nothing is known about the attempt: an inner interceptor answered it, abandoned it, or did not pass its options on.
func (a *clientAnswer) blind() bool { return a.delivery.calls == 0 }

// kind classifies the end of an attempt. If an error comes with headers and without trailer metadata, only its code shows whether the
// trailers arrived.
func (a *clientAnswer) kind(err error) reply {
	code := statusOf(err).Code()

	switch {
	case len(a.trailer.Get(StatusTrailer)) > 0:
		return replyStatus
	case a.delivery.nothingSent(err, a.answered()):
		return replyUnsent
	case a.blind() && err == nil:
		return replyBare
	case a.blind():
		return replyUnseen
	case !a.answered():
		return replyLost
	case len(a.trailer) > 0 && inFront(code):
		return replyInFront
	case err != nil && len(a.trailer) == 0 && (inFront(code) || madeOnTheWay(code)):
		return replyLost
	default:
		return replyBare
	}
}

// retention returns how long the server keeps the record, as its answer declares. It returns 0 if the value is missing or malformed.
func (a *clientAnswer) retention() time.Duration {
	value, ok := singleValue(a.trailer.Get(RetentionTrailer))
	if !ok || len(a.trailer.Get(StatusTrailer)) == 0 {
		return 0
	}

	seconds, err := strconv.ParseUint(value, 10, 63)
	if err != nil || seconds > math.MaxInt64/uint64(time.Second) {
		return 0
	}

	return max(time.Duration(seconds)*time.Second, 1) // less than a second is declared as 0
}

// emptyResults clears the metadata and the peer that an earlier attempt has written to the caller's options. An attempt that creates no
// stream does not overwrite them.
func emptyResults(opts []grpc.CallOption) {
	for _, opt := range opts {
		switch o := opt.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = nil
		case grpc.TrailerCallOption:
			*o.TrailerAddr = nil
		case grpc.PeerCallOption:
			*o.PeerAddr = peer.Peer{}
		}
	}
}
