package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/examples/shop/lossy"
)

// place places all orders over a wire, and counts the charges in the provider's book.
func (d *demo) place(ctx context.Context, w wire) (*result, error) {
	book := newProvider()

	s, err := d.open(ctx, w, book)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	defer s.close()

	customers, err := d.newCustomers(s.front.Addr())
	if err != nil {
		return nil, err
	}
	defer customers.close()

	orders := make([]placed, d.requested)
	next := make(chan int)

	var all sync.WaitGroup

	for range d.customers {
		all.Go(func() {
			for i := range next {
				orders[i] = customers.order(ctx, i)
			}
		})
	}

	for i := range orders {
		next <- i
	}

	close(next)
	all.Wait()

	customers.close()
	s.close()

	return s.audit(w, book, orders), nil
}

// stand is a shop with its payment service, and a lossy proxy in front of each.
type stand struct {
	front, back *lossy.Proxy
	closers     []func()
}

// placed is an order and the answer to its customer.
type placed struct {
	id      string
	receipt string
	curl    bool
	err     error
}

// audit compares the answers with the provider's book.
func (s *stand) audit(w wire, book *provider, orders []placed) *result {
	r := &result{wire: w.name, requested: len(orders)}

	for _, o := range orders {
		charges := book.charges(o.id)
		r.charged += len(charges)

		switch {
		case len(charges) == 0:
			r.missing++
		case len(charges) > 1:
			r.doubled++
		case o.err == nil && o.receipt != charges[0]:
			r.wrong++
		}

		if o.err == nil {
			r.answered++
		} else if r.problem == nil {
			r.problem = o.err
		}

		if o.curl {
			r.curl++
		}
	}

	for _, line := range []*lossy.Proxy{s.front, s.back} {
		requests, replies := line.Lost()
		r.lostBefore += requests
		r.lostWith += replies
	}

	return r
}

// open starts a stand whose shop pays over a wire.
func (d *demo) open(ctx context.Context, w wire, book *provider) (_ *stand, err error) {
	s := new(stand)

	defer func() {
		if err != nil {
			s.close()
		}
	}()

	payments, err := w.payments(ctx, s, d.without, book)
	if err != nil {
		return nil, err
	}

	if s.back, err = s.serve(payments, d.faults, d.seed); err != nil { //nolint:contextcheck // it is closed, and not cancelled
		return nil, err
	}

	pay, err := w.payer(s, d.without, "http://"+s.back.Addr())
	if err != nil {
		return nil, err
	}

	front, err := newFront(d.without, pay)
	if err != nil {
		return nil, err
	}

	if s.front, err = s.serve(front, d.faults, d.seed+1); err != nil { //nolint:contextcheck // it is closed, and not cancelled
		return nil, err
	}

	return s, nil
}

// serve serves a handler behind a lossy proxy.
func (s *stand) serve(h http.Handler, faults lossy.Faults, seed uint64) (*lossy.Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})

	go func() {
		defer close(served)

		_ = server.Serve(listener) // ends with Shutdown
	}()

	s.closers = append(s.closers, func() {
		_ = server.Shutdown(context.Background()) // the proxies are closed, so handlers end
		<-served
	})

	proxy, err := lossy.Listen(listener.Addr().String(), faults, seed)
	if err != nil {
		return nil, err
	}

	s.closers = append(s.closers, func() { _ = proxy.Close() })

	return proxy, nil
}

// close ends everything in reverse order. It may be called twice.
func (s *stand) close() {
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		s.closers[last]()
		s.closers = s.closers[:last]
	}
}

// errStatus reports an answer without a receipt.
var errStatus = errors.New("the answer is no receipt")
