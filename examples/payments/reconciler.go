package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlyonce-go/onlyonce"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/reconcile"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const (
	// reconcilers is the number of reconciler processes.
	reconcilers = 2
	// lookEvery is the interval of a reconciler. A service would use the default.
	lookEvery = 250 * time.Millisecond
	// keptRequest is the largest request, in bytes, that a record keeps for the reconcilers.
	keptRequest = 4 << 10
)

// reconciling has the channels for requests to a reconciler.
type reconciling struct {
	sweep  chan struct{} // to sweep the store
	finish chan struct{} // closed when the servers have stopped; then settle everything and end
}

// errFinished ends a reconciler when nothing is unknown any more.
var errFinished = errors.New("nothing is unknown any more")

// runReconciler settles unknown outcomes, and does nothing else. The servers have no recovery function, so duplicates get OUTCOME_UNKNOWN
// until a reconciler has settled the record.
func runReconciler(ctx context.Context, config *childConfig, asked reconciling, stdout io.Writer) error {
	provider, closeProvider, err := dialProvider(config.Ledger)
	if err != nil {
		return err
	}
	defer closeProvider()

	exported, err := exportMetrics(ctx, config.Metrics, config.Name, os.Stderr)
	if err != nil {
		return err
	}
	defer exported.close()

	records, err := redisstore.Open(config.Store, sharedOptions(config.Prefix)...) //nolint:contextcheck // see openStore
	if err != nil {
		return fmt.Errorf("the store cannot be used: %w", err)
	}
	defer records.Close() //nolint:errcheck,contextcheck // there is nothing left to lose

	var settled atomic.Int64

	//nolint:contextcheck // Validate takes none
	engine, err := newRecoverer(records, exported.observer(countSettled(&settled)), &desk{provider: provider})
	if err != nil {
		return err
	}

	if _, err := fmt.Fprintln(stdout, "reconciling"); err != nil {
		return fmt.Errorf("printing that it runs: %w", err)
	}

	if err := reconcileUntilDone(ctx, engine, records, asked, exported, stdout); err != nil {
		return err
	}

	bounded, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()

	if err := engine.Drain(bounded); err != nil {
		return err // names the problem
	}

	if _, err := fmt.Fprintln(stdout, settled.Load()); err != nil {
		return fmt.Errorf("printing the number of settled outcomes: %w", err)
	}

	<-ctx.Done()

	return nil
}

// newRecoverer returns an engine that can recover payments.
func newRecoverer(records store.Store, observer onlyonce.Observer, service *desk) (*onlyonce.Engine, error) {
	engine, err := onlyonce.New(records, onlyonce.WithPolicy(sharedPolicy()), onlyonce.WithObserver(observer))
	if err != nil {
		return nil, err // names the problem
	}

	// Nobody calls this server. It gives the engine its recovery functions.
	_, err = newServer(engine, oneParty(), service, interceptor.WithMethodPolicy(paymentsv1.PaymentService_Pay_FullMethodName,
		interceptor.Policy{Recover: service.recover}))

	return engine, err
}

// reconcileUntilDone returns after finish was requested and a later look left nothing unknown.
func reconcileUntilDone(
	ctx context.Context, engine *onlyonce.Engine, records *redisstore.Store, asked reconciling, exported *metrics, stdout io.Writer,
) error {
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)

	var sweeping sync.WaitGroup
	defer sweeping.Wait()

	sweeping.Go(func() {
		if err := sweepWhenAsked(ctx, records, asked.sweep, stdout); err != nil {
			done(err)
		}
	})

	//nolint:contextcheck // a report has none
	err := reconcile.Run(ctx, engine, reconcile.Options{Interval: lookEvery, Report: func(report reconcile.Report) {
		exported.report(report)

		select {
		case <-asked.finish:
			if report.Err == nil && report.Unknown == 0 {
				done(errFinished)
			}
		default:
		}
	}})
	if errors.Is(err, errFinished) {
		return nil
	}

	return err // names the problem
}

// countSettled counts the records that recovery functions settle.
func countSettled(settled *atomic.Int64) onlyonce.Observer {
	return onlyonce.ObserverFunc(func(_ context.Context, event onlyonce.Event) {
		if event.Kind == onlyonce.EventResolved {
			settled.Add(1)
		}
	})
}

// sweepWhenAsked sweeps until ctx ends. The index in Redis may lack the claims of a server that has just died.
func sweepWhenAsked(ctx context.Context, records *redisstore.Store, asked <-chan struct{}, stdout io.Writer) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-asked:
		}

		if _, err := records.Sweep(ctx); err != nil {
			return fmt.Errorf("sweeping the store: %w", err)
		}

		if _, err := fmt.Fprintln(stdout, "swept"); err != nil {
			return fmt.Errorf("printing the end of a sweep: %w", err)
		}
	}
}

// finish makes a reconciler settle everything. It returns the number of outcomes that the reconciler has settled in total.
func (p *process) finish(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime*time.Second, fmt.Errorf("outcomes are unknown after %d seconds", settleTime))
	defer cancel()

	answer, err := p.ask(ctx, askFinish)
	if err != nil {
		return 0, err
	}

	settled, err := strconv.Atoi(answer)
	if err != nil {
		return 0, fmt.Errorf("reading the number of outcomes that %s has settled: %w", p.name, err)
	}

	return settled, nil
}
