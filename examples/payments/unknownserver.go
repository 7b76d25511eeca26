package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/onlyonce-go/onlyonce"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

// unknownLease is the time after which the payments of a killed server are unknown. They can be released after three times as long.
const unknownLease = 2 * time.Second

// openUnknown opens a store whose records can be listed.
func openUnknown(address, prefix string) (store.Store, func(), error) {
	if !isDatabase(address) {
		return openStore(address, redisstore.WithPrefix(prefix), redisstore.WithUnknownRetention(time.Hour))
	}

	db, err := openDatabase(address, false)
	if err != nil {
		return nil, nil, err
	}

	records, err := db.records()
	if err != nil {
		_ = db.Close()

		return nil, nil, err
	}

	return records, func() { _ = db.Close() }, nil
}

// runUnknown is a server of the demo of unknown outcomes. Its method never runs twice by itself. The record keeps the request, so that a
// reconciler can query the provider about a payment whose server has died.
func runUnknown(ctx context.Context, config *childConfig, stdout io.Writer) error {
	provider, closeProvider, err := dialProvider(config.Ledger)
	if err != nil {
		return err
	}
	defer closeProvider()

	records, closeStore, err := openUnknown(config.Store, config.Prefix) //nolint:contextcheck // see there
	if err != nil {
		return err
	}
	defer closeStore()

	engine, err := onlyonce.New(records, onlyonce.WithPolicy(sharedPolicy()), onlyonce.WithObserver(nil), // the report has the results
		onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: openTime})) // a small machine may be slow
	if err != nil {
		return err // names the problem
	}

	server, err := newUnknownServer(engine, config, &desk{provider: provider}, stdout) //nolint:contextcheck // Validate takes none
	if err != nil {
		return err
	}

	listener, err := announce(stdout)
	if err != nil {
		return err
	}

	var settling sync.WaitGroup
	defer settling.Wait()

	if !config.Hangs {
		settling.Go(func() {
			_ = reconcile.Run(ctx, engine, reconcile.Options{Interval: 500 * time.Millisecond}) // until ctx ends
		})
	}

	return serveUntil(ctx, listener, server, engine)
}

// newUnknownServer returns a server whose payments run at most once, and can be recovered. They hang if the configuration demands it.
func newUnknownServer(engine *onlyonce.Engine, config *childConfig, service *desk, stdout io.Writer) (*grpc.Server, error) {
	policy := interceptor.Policy{Policy: sharedPolicy(), Recover: service.recover}
	policy.Guarantee, policy.KeepRequest = onlyonce.AtMostOnce, keptRequest
	policy.Lease, policy.MaxRun = unknownLease, 2*unknownLease

	var payments paymentsv1.PaymentServiceServer = service
	if config.Hangs {
		payments = &hanging{desk: service, report: func() { _, _ = fmt.Fprintln(stdout, sayHeld) }}
	}

	return newServer(engine, named(config.Run), payments,
		interceptor.WithMethodPolicy(paymentsv1.PaymentService_Pay_FullMethodName, policy))
}

// hanging is a desk whose process will be killed. Of every five payments, two are answered, one hangs before its charge, and two hang
// after it.
type hanging struct {
	*desk

	payments atomic.Int64
	mu       sync.Mutex
	report   func() // a payment that hangs
}

// The payments of every five that hang.
const (
	perTurn     = 5
	hangsBefore = 2
	hangsAfter  = 3
)

// Pay implements [paymentsv1.PaymentServiceServer].
func (h *hanging) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	turn := h.payments.Add(1) % perTurn

	if turn == hangsBefore {
		h.hang()
	}

	resp, err := h.desk.Pay(context.WithoutCancel(ctx), req)

	if turn >= hangsAfter {
		h.hang()
	}

	return resp, err
}

// hang waits until the process is killed.
func (h *hanging) hang() {
	h.mu.Lock()
	h.report()
	h.mu.Unlock()

	select {}
}
