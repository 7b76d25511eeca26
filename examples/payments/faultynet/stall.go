package faultynet

import (
	"context"
	"sync"
)

// stall is a line on which nothing moves any more: first a reply is held back and then a request, with all that comes behind
// them.
type stall struct {
	replyOnce, requestOnce sync.Once
	reply, request         chan struct{} // closed when one is held back
	over                   chan struct{} // closed when what is held back is lost
}

// Stall holds back a reply, so that a request has been processed and nobody knows, and then a request, which is not going
// to be processed. It returns when it holds both, with an error if ctx ends before. Cut ends it; until then it stalls.
func (p *Proxy) Stall(ctx context.Context) error {
	s := p.beginStall()

	for _, held := range []chan struct{}{s.reply, s.request} {
		select {
		case <-held:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}

	return nil
}

func (p *Proxy) beginStall() *stall {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.stall = &stall{reply: make(chan struct{}), request: make(chan struct{}), over: make(chan struct{})}

	return p.stall
}

func (p *Proxy) stalling() *stall {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.stall
}

// holdsReply holds a reply back if the line stalls, until it is lost, and reports whether it did.
func (p *Proxy) holdsReply() bool {
	s := p.stalling()
	if s == nil {
		return false
	}

	s.replyOnce.Do(func() { close(s.reply) })
	<-s.over

	return true
}

// holdsRequest is holdsReply for a request.
func (p *Proxy) holdsRequest() bool {
	s := p.stalling()
	if s == nil {
		return false
	}

	select {
	case <-s.reply:
	default:
		return false // a reply comes first
	}

	s.requestOnce.Do(func() { close(s.request) })
	<-s.over

	return true
}
