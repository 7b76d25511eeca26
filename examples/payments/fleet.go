package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
)

const (
	// stallTime bounds the time between the loss of a reply of the ledger and the end of the server that waits for it. It is less than MaxRun,
	// so that calls are in flight when the server dies.
	stallTime = time.Second
	// downTime is the time between killing a server and starting it again.
	downTime = 300 * time.Millisecond
)

// fleet is a stage of processes: a ledger, and servers that share a store. A store that is a database has the payments as well, and there
// is no ledger: see tills.
type fleet struct {
	config  childConfig // of the servers
	stderr  io.Writer
	fail    context.CancelCauseFunc
	ledger  *process
	book    paymentsv1.PaymentServiceClient // the ledger
	hangUp  func()
	servers []*member
	// reconcilers are processes that settle unknown outcomes. There are none without onlyonce, or without a ledger.
	reconcilers []*process
}

// member is a server, between two networks.
type member struct {
	*process

	network *faultynet.Proxy // in front of it
	// metricsAt is the address of its metrics; empty means none.
	metricsAt string
	line      *faultynet.Proxy // between it and the ledger, if there is one; without faults until it stalls
}

// openFleet starts all processes. It calls fail when one ends by itself.
func (d *demo) openFleet(ctx context.Context, m mode, fail context.CancelCauseFunc) (stage, error) {
	f := &fleet{stderr: d.childErrors, fail: fail, hangUp: func() {}}
	if m == modeOnlyonce {
		f.config.Store, f.config.Prefix = d.shared, d.prefix
	}

	if err := f.start(ctx, d); err != nil {
		f.close()

		return nil, err
	}

	return f, nil
}

func (f *fleet) start(ctx context.Context, d *demo) (err error) {
	if f.config.Database == "" {
		if err := f.startLedger(ctx, d); err != nil {
			return err
		}
	}

	for i := range d.servers {
		s := &member{}
		if s.metricsAt, err = metricsOf(d.metricsAt, i+1); err != nil {
			return err
		}

		f.servers = append(f.servers, s)

		if f.ledger != nil {
			if s.line, err = faultynet.Listen(f.ledger.addr, faultynet.Faults{}, d.seed); err != nil {
				return err
			}
		}

		if s.process, err = f.launch(ctx, s, fmt.Sprintf("server %d", i+1)); err != nil {
			return err
		}

		if s.network, err = faultynet.Listen(s.addr, d.faults, d.seed+uint64(i)); err != nil {
			return err
		}
	}

	if f.config.Store == "" || f.ledger == nil {
		return nil
	}

	for i := range reconcilers {
		if err := f.startReconciler(ctx, d, i+1); err != nil {
			return err
		}
	}

	return nil
}

// startReconciler starts a reconciler. Its connection to the ledger has no faults.
func (f *fleet) startReconciler(ctx context.Context, d *demo, number int) (err error) {
	config := f.config
	config.Reconciles, config.Ledger, config.Name = true, f.ledger.addr, fmt.Sprintf("reconciler %d", number)

	if config.Metrics, err = metricsOf(d.metricsAt, d.servers+number); err != nil {
		return err
	}

	p, err := launch(ctx, config.Name, &config, f.stderr, f.fail)
	if err != nil {
		return err
	}

	f.reconcilers = append(f.reconcilers, p)

	return nil
}

func (f *fleet) startLedger(ctx context.Context, d *demo) (err error) {
	f.ledger, err = launch(ctx, "the ledger", &childConfig{Work: d.work}, f.stderr, f.fail)
	if err != nil {
		return err
	}

	f.book, f.hangUp, err = dialProvider(f.ledger.addr)

	return err
}

// launch starts the process of a server.
func (f *fleet) launch(ctx context.Context, s *member, name string) (*process, error) {
	config := f.config
	if s.line != nil {
		config.Ledger = s.line.Addr()
	}

	config.Name, config.Metrics = name, s.metricsAt

	return launch(ctx, name, &config, f.stderr, f.fail)
}

func (f *fleet) networks() []*faultynet.Proxy {
	all := make([]*faultynet.Proxy, 0, len(f.servers))
	for _, s := range f.servers {
		all = append(all, s.network)
	}

	return all
}

// strike cuts the first server off from the ledger, and then kills the server. One order is charged without its reply, and another request
// does not reach the ledger.
func (f *fleet) strike(ctx, paying context.Context, held func()) (int, error) {
	victim := f.servers[0]
	defer victim.line.Cut() // which ends the stall

	err := victim.line.Stall(paying, stallTime)

	held()

	switch {
	case paying.Err() != nil:
		return 0, nil // too few orders are left, which is no failure
	case err != nil:
		return 0, err
	}

	return 1, f.replace(ctx, victim)
}

// replace kills a server, and starts it again after a while.
func (f *fleet) replace(ctx context.Context, victim *member) (err error) {
	victim.network.Redirect("") // another process may get its port
	victim.kill()

	if victim.line != nil {
		victim.line.Cut()
	}

	if len(f.reconcilers) > 0 {
		if _, err := f.reconcilers[0].ask(ctx, askSweep); err != nil {
			return err
		}
	}

	timer := time.NewTimer(downTime)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	victim.process, err = f.launch(ctx, victim, victim.name)
	if err != nil {
		return err
	}

	victim.network.Redirect(victim.addr)

	return nil
}

func (f *fleet) settle(ctx context.Context) (settled int, err error) {
	for _, s := range f.servers {
		if err := s.network.Close(); err != nil {
			return 0, err
		}

		if err := s.stop(ctx); err != nil {
			return 0, err
		}
	}

	for _, p := range f.reconcilers {
		n, err := p.finish(ctx)
		if err != nil {
			return 0, err
		}

		settled += n

		if err := p.stop(ctx); err != nil {
			return 0, err
		}
	}

	return settled, nil
}

func (f *fleet) charges(ctx context.Context, orderID string) (int, error) {
	found, err := f.book.GetPayment(ctx, &paymentsv1.GetPaymentRequest{OrderId: orderID})
	if err != nil {
		return 0, fmt.Errorf("reading the ledger: %w", err)
	}

	return len(found.GetPayments()), nil
}

// close ends everything. It can be called at any time.
func (f *fleet) close() {
	f.hangUp()

	for _, s := range f.servers {
		if s.process != nil {
			s.kill()
		}

		for _, network := range []*faultynet.Proxy{s.network, s.line} {
			if network != nil {
				_ = network.Close() // there is nothing left to lose
			}
		}
	}

	for _, p := range f.reconcilers {
		p.kill()
	}

	if f.ledger != nil {
		f.ledger.kill()
	}
}
