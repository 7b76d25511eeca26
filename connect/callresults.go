package onceconnect

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onlyonce-go/onlyonce/internal/calloption"
)

// callResults are the call options through which package interceptor learns the result of an attempt.
type callResults struct {
	headers, trailers []*metadata.MD
	peers             []*peer.Peer
	finished          []func(error)
	permits           credentials.PerRPCCredentials // nil: every attempt may be sent
}

func resultsOf(opts []grpc.CallOption) *callResults {
	r := new(callResults)

	for _, opt := range opts {
		switch o := opt.(type) {
		case grpc.HeaderCallOption:
			r.headers = append(r.headers, o.HeaderAddr)
		case grpc.TrailerCallOption:
			r.trailers = append(r.trailers, o.TrailerAddr)
		case grpc.PeerCallOption:
			r.peers = append(r.peers, o.PeerAddr)
		case grpc.OnFinishCallOption:
			r.finished = append(r.finished, o.OnFinish)
		case *grpc.PerRPCCredsCallOption:
			r.permits = o.Creds
		case calloption.Resumed: // package interceptor does not protect the method
			r.permits = o.Creds
		}
	}

	return r
}

// permit returns an error if the attempt must not be sent to the peer in the context.
func (r *callResults) permit(ctx context.Context) error {
	if r.permits == nil {
		return nil
	}

	_, err := r.permits.GetRequestMetadata(ctx)

	return err // a gRPC status
}

// sent records that a server may have got the request.
func (r *callResults) sent(to *peer.Peer) {
	for _, p := range r.peers {
		*p = *to
	}
}

// answered records the metadata of an answer.
func (r *callResults) answered(header, trailer metadata.MD) {
	for _, md := range r.headers {
		*md = header
	}

	for _, md := range r.trailers {
		*md = trailer
	}
}

// finish records the end of the attempt.
func (r *callResults) finish(err error) {
	for _, f := range r.finished {
		f(err)
	}
}
