package faultynet

import (
	"context"
	"sync"
	"time"
)

// stall is a connection on which nothing moves. It first holds a reply and then a request, with everything behind them.
type stall struct {
	replyOnce, requestOnce sync.Once
	reply, request         chan struct{} // closed when it is held
	over                   chan struct{} // closed when the held data is lost
}

// Stall holds a reply, whose request was processed, and then a request, which will not be processed. It returns when it holds both, or
// after holding the reply for the given time. It returns an error if ctx ends first. Cut ends the stall.
func (p *Proxy) Stall(ctx context.Context, most time.Duration) error {
	s := p.beginStall()

	select {
	case <-s.reply:
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	timer := time.NewTimer(most)
	defer timer.Stop()

	select {
	case <-s.request:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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

// holdsReply holds a reply until it is lost, if the connection stalls. It reports whether the reply was held.
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
		return false // a reply must come first
	}

	s.requestOnce.Do(func() { close(s.request) })
	<-s.over

	return true
}
