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
type callResults []grpc.CallOption

// permit returns an error if the attempt must not be sent to the peer.
func (r callResults) permit(ctx context.Context, to *peer.Peer) error {
	var permits credentials.PerRPCCredentials // nil: every attempt may be sent

	for _, opt := range r {
		switch o := opt.(type) {
		case *grpc.PerRPCCredsCallOption:
			permits = o.Creds
		case calloption.Resumed: // package interceptor does not protect the method
			permits = o.Creds
		}
	}

	if permits == nil {
		return nil
	}

	_, err := permits.GetRequestMetadata(peer.NewContext(ctx, to))

	return err // a gRPC status
}

// sent records that a server may have got the request.
func (r callResults) sent(to *peer.Peer) {
	for _, opt := range r {
		if o, ok := opt.(grpc.PeerCallOption); ok {
			*o.PeerAddr = *to
		}
	}
}

// answered records the metadata of an answer.
func (r callResults) answered(header, trailer metadata.MD) {
	for _, opt := range r {
		switch o := opt.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = trailer
		}
	}
}

// finish records the end of the attempt.
func (r callResults) finish(err error) {
	for _, opt := range r {
		if o, ok := opt.(grpc.OnFinishCallOption); ok {
			o.OnFinish(err)
		}
	}
}
