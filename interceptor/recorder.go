package interceptor

import (
	"context"
	"maps"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// recorder is the transport stream that a run of a keyed handler sees. It records the metadata that the handler sets, so that it can be
// replayed. When the handler has returned, the recorder passes the metadata on, unless the call gets the answer of another run.
//
// It goes on working after the caller has gone. The stream of grpc-go would return an error then, and the handler would return that error
// although its work is done.
type recorder struct {
	// ServerTransportStream is the stream of the call. It is nil if the interceptor is called without a server.
	grpc.ServerTransportStream

	caller context.Context //nolint:containedctx // the stream lives as long as this context

	mu      sync.Mutex
	header  metadata.MD
	trailer metadata.MD
	sent    bool // the handler has called SendHeader
	closed  bool // the handler has returned
	mute    bool // an earlier run of the handler, which was rolled back, has sent a header
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

// forward passes metadata on while the caller is there. If the caller has gone, a failure does not count.
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

// forwardHeader passes a header on, unless an earlier run has sent one.
func (r *recorder) forwardHeader(md metadata.MD, how func(grpc.ServerTransportStream, metadata.MD) error) error {
	if r.mute {
		return nil
	}

	return r.forward(md, how)
}

func (r *recorder) gone() bool { return r.caller.Err() != nil }

// close ends the recording. The recorder ignores metadata that goroutines of the handler set later. After close, header and trailer do not
// change.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.closed = true
}

// next returns the recorder of the next run, because this run was rolled back. A header that was sent cannot be taken back.
func (r *recorder) next() *recorder {
	r.mu.Lock()
	defer r.mu.Unlock()

	return &recorder{mute: r.mute || r.sent}
}

// metadata returns copies of the recorded header and trailer.
func (r *recorder) metadata() (header, trailer metadata.MD) {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.header.Copy(), r.trailer.Copy()
}

// replaceStorable replaces the storable metadata with the metadata of a record. All other metadata belongs to this call alone and stays.
func (r *recorder) replaceStorable(by *payload, storable func(string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	replace := func(md, by metadata.MD) metadata.MD {
		md = metadata.Join(md) // a copy: a stream may have the original
		maps.DeleteFunc(md, func(name string, _ []string) bool { return storable(name) })
		maps.Copy(md, by)

		return md
	}

	r.header, r.trailer = replace(r.header, by.header), replace(r.trailer, by.trailer)
}

// deliver passes the recorded metadata on. Call it if the answer is this run's own.
func (r *recorder) deliver() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if !r.sent && len(r.header) > 0 {
		_ = r.forwardHeader(r.header, grpc.ServerTransportStream.SetHeader) // it fails only if the caller has gone
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

// silentStream is the transport stream of a call that is not protected. Its handler cannot set metadata of the contract.
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
