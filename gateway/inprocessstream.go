package oncegateway

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// errAnswered is the error of metadata that comes too late.
var errAnswered = errors.New("oncegateway: the call has been answered, and its metadata cannot change any more")

// errHeaderSent is the error of header metadata that comes too late.
var errHeaderSent = errors.New("oncegateway: the header of the call has been sent, and cannot change any more")

// inProcessStream collects the metadata of one answer. It implements grpc.ServerTransportStream.
type inProcessStream struct {
	method string

	mu              sync.Mutex
	header, trailer metadata.MD
	sent, answered  bool
	responded       bool // the kit has returned a response
}

type inProcessKey struct{}

// context returns the context of a handler.
func (s *inProcessStream) context(ctx context.Context, caller metadata.MD) context.Context {
	ctx = metadata.NewIncomingContext(ctx, caller) // a copy: FromOutgoingContext makes one
	ctx = metadata.NewOutgoingContext(ctx, nil)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: inProcessAddr{}, LocalAddr: inProcessAddr{}})

	ctx = context.WithValue(ctx, inProcessKey{}, s) // an interceptor may wrap the transport stream

	return grpc.NewContextWithServerTransportStream(ctx, s)
}

// Method returns the full name of the method.
func (s *inProcessStream) Method() string { return s.method }

// SetHeader adds header metadata.
func (s *inProcessStream) SetHeader(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case s.answered:
		return errAnswered
	case s.sent:
		return errHeaderSent
	}

	s.header = metadata.Join(s.header, md)

	return nil
}

// SendHeader adds header metadata. Later header metadata is refused.
func (s *inProcessStream) SendHeader(md metadata.MD) error {
	if err := s.SetHeader(md); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.sent = true

	return nil
}

// SetTrailer adds trailer metadata.
func (s *inProcessStream) SetTrailer(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.answered {
		return errAnswered
	}

	s.trailer = metadata.Join(s.trailer, md)

	return nil
}

// note notes whether the kit has returned a response or an error. An interceptor in front may have given up the call.
func (s *inProcessStream) note(responded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.responded = responded
}

// answer writes the metadata to the call options of the caller. Later metadata is refused. The error is that of the call.
func (s *inProcessStream) answer(opts []grpc.CallOption, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.answered = true

	if err != nil && s.responded {
		s.trailer = withUnknown(s.trailer)
	}

	for _, opt := range opts {
		switch o := opt.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = metadata.Join(s.header)
		case grpc.TrailerCallOption:
			*o.TrailerAddr = metadata.Join(s.trailer)
		case grpc.PeerCallOption:
			*o.PeerAddr = peer.Peer{Addr: inProcessAddr{}, LocalAddr: inProcessAddr{}}
		}
	}
}

// inProcessAddr is the address of the caller and of the service.
type inProcessAddr struct{}

func (inProcessAddr) Network() string { return "in-process" }
func (inProcessAddr) String() string  { return "in-process" }
