package interceptor

import (
	"context"
	"maps"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// recorder is the transport stream that a run of a keyed handler sees. It keeps the metadata that the handler sets, so that it can
// be replayed, and passes it on when the handler has returned, unless the answer turns out to be another run's. It goes on
// working after the caller has gone, where grpc-go's own stream returns an error that would turn a finished payment into
// an ambiguous one.
type recorder struct {
	// ServerTransportStream is the real stream. It is nil where there is none, as in a direct call.
	grpc.ServerTransportStream

	caller context.Context //nolint:containedctx // the stream lives as long as this context

	mu      sync.Mutex
	header  metadata.MD
	trailer metadata.MD
	sent    bool // the handler has sent the header by itself
	closed  bool // the handler has returned
	mute    bool // the header has been sent by an earlier run of the handler, which was rolled back
}

// Method implements [grpc.ServerTransportStream].
func (r *recorder) Method() string {
	if r.ServerTransportStream == nil {
		return ""
	}

	return r.ServerTransportStream.Method()
}

// SetHeader implements [grpc.ServerTransportStream].
func (r *recorder) SetHeader(md metadata.MD) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	md = withoutContract(md)
	if r.closed || len(md) == 0 {
		return nil
	}

	if r.sent {
		return r.forwardHeader(md, grpc.ServerTransportStream.SetHeader) // the stream's own error: too late
	}

	r.header = metadata.Join(r.header, md)

	return nil
}

// SendHeader implements [grpc.ServerTransportStream].
func (r *recorder) SendHeader(md metadata.MD) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.closed {
		return nil
	}

	md = withoutContract(md)

	if r.sent {
		return r.forwardHeader(md, grpc.ServerTransportStream.SendHeader) // the stream's own error: sent twice
	}

	r.header = metadata.Join(r.header, md)
	r.sent = true

	return r.forwardHeader(r.header, grpc.ServerTransportStream.SendHeader)
}

// SetTrailer implements [grpc.ServerTransportStream].
func (r *recorder) SetTrailer(md metadata.MD) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	if md = withoutContract(md); !r.closed && len(md) > 0 {
		r.trailer = metadata.Join(r.trailer, md)
	}

	return nil
}

// forward passes metadata on while the call lives. What fails because the caller has gone has not failed.
func (r *recorder) forward(md metadata.MD, how func(grpc.ServerTransportStream, metadata.MD) error) error {
	if r.ServerTransportStream == nil || r.gone() {
		return nil
	}

	err := how(r.ServerTransportStream, md)
	if r.gone() {
		return nil
	}

	return err
}

// forwardHeader passes a header on, unless another has gone out before.
func (r *recorder) forwardHeader(md metadata.MD, how func(grpc.ServerTransportStream, metadata.MD) error) error {
	if r.mute {
		return nil
	}

	return r.forward(md, how)
}

func (r *recorder) gone() bool { return r.caller.Err() != nil }

// close ends the recording: what goroutines of the handler set later is ignored, as it would come too late anyway. After
// it, header and trailer do not change.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.closed = true
}

// next returns the recorder of the next run, because this one was rolled back. A header that was sent cannot be called back.
func (r *recorder) next() *recorder {
	r.mu.Lock()
	defer r.mu.Unlock()

	return &recorder{mute: r.mute || r.sent}
}

// metadata is what has been recorded so far.
func (r *recorder) metadata() (header, trailer metadata.MD) {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.header.Copy(), r.trailer.Copy()
}

// replaceStorable replaces the metadata that a record may have by that of the record. The rest belongs to this call alone and stays.
func (r *recorder) replaceStorable(by *payload, storable func(string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	replace := func(md, by metadata.MD) metadata.MD {
		md = metadata.Join(md) // a copy: a stream may have got the original
		maps.DeleteFunc(md, func(name string, _ []string) bool { return storable(name) })
		maps.Copy(md, by)

		return md
	}

	r.header, r.trailer = replace(r.header, by.header), replace(r.trailer, by.trailer)
}

// deliver passes on what was recorded: the answer is this run's own.
func (r *recorder) deliver() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if !r.sent && len(r.header) > 0 {
		_ = r.forwardHeader(r.header, grpc.ServerTransportStream.SetHeader) // it can only fail where nobody is left to see it
	}

	if len(r.trailer) > 0 {
		_ = r.forward(r.trailer, grpc.ServerTransportStream.SetTrailer)
	}
}

// silent returns the context of a call whose key is ignored.
func silent(ctx context.Context) context.Context {
	if stream := grpc.ServerTransportStreamFromContext(ctx); stream != nil {
		ctx = grpc.NewContextWithServerTransportStream(ctx, &silentStream{ServerTransportStream: stream})
	}

	return ctx
}

// silentStream is the transport stream of a call that is not protected: it says nothing of the contract.
type silentStream struct{ grpc.ServerTransportStream }

// SetHeader implements [grpc.ServerTransportStream].
func (s *silentStream) SetHeader(md metadata.MD) error {
	return s.ServerTransportStream.SetHeader(withoutContract(md)) // the stream's own error
}

// SendHeader implements [grpc.ServerTransportStream].
func (s *silentStream) SendHeader(md metadata.MD) error {
	return s.ServerTransportStream.SendHeader(withoutContract(md)) // the stream's own error
}

// SetTrailer implements [grpc.ServerTransportStream].
func (s *silentStream) SetTrailer(md metadata.MD) error {
	return s.ServerTransportStream.SetTrailer(withoutContract(md)) // the stream's own error
}
