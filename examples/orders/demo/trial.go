package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// customers is the name of the callers of the gateway in the trace.
const customers = "customer"

// trial is the result of placing all orders once.
type trial struct {
	without   bool
	requested int
	answered  int
	kills     map[string]int // of each service
	took      time.Duration
	latencies []time.Duration // sorted
	faults    faultynet.Counts
	audit     *audit
	entries   []service.Entry
}

// run places all orders in a shop with empty databases, and reads them.
func (d *demo) run(ctx context.Context, without bool) (_ *trial, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	s, err := d.open(ctx, without, fail)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()

	t := &trial{without: without, requested: len(d.orders), kills: make(map[string]int)}

	if err := t.place(ctx, s); err != nil {
		return nil, err
	}

	for _, m := range s.members {
		t.faults = t.faults.Plus(m.line.Counts())
	}

	// Calls that are still in the services end before the databases are read.
	if err := s.settle(ctx); err != nil {
		return nil, err
	}

	if t.audit, err = s.audit(ctx); err != nil {
		return nil, err
	}

	t.entries, err = readTrace(s.trace)

	return t, err
}

// place places all orders, from several customers at the same time, while services are killed.
func (t *trial) place(ctx context.Context, s *stage) error {
	trace, err := service.OpenTrace(customers, s.trace)
	if err != nil {
		return err
	}
	defer trace.Close() //nolint:errcheck // every line has been written

	c := &crowd{
		queue:    make(chan *order),
		results:  make(chan time.Duration, len(s.demo.orders)),
		finished: make(chan struct{}, len(s.demo.orders)),
		meter:    newMeter(s.demo.progress, t.without, len(s.demo.orders)),
	}
	began := time.Now()

	if err := c.start(ctx, s, trace); err != nil {
		close(c.queue)
		c.customers.Wait()

		return err
	}

	var striking sync.WaitGroup

	placing, placed := context.WithCancel(ctx)
	allStruck := make(chan struct{})

	striking.Go(func() { t.strike(placing, s, trace, c.finished, allStruck) })

	c.submit(ctx, s.demo.orders, allStruck)
	c.customers.Wait()
	placed()
	striking.Wait()

	if ctx.Err() != nil {
		return fmt.Errorf("the run was interrupted: %w", context.Cause(ctx))
	}

	t.took = time.Since(began)
	t.latencies = c.latencies()
	t.answered = len(t.latencies)

	return nil
}

// checkout places an order. Its ID is the key. The customer calls again with the same key until there is a final answer.
func (s *stage) checkout(ctx context.Context, client shopv1.GatewayServiceClient, o *order) error {
	ctx, cancel := context.WithTimeout(ctx, s.demo.patience)
	defer cancel()

	for {
		var err error
		if s.without {
			_, err = client.Checkout(ctx, o.request())
		} else {
			_, err = client.Checkout(ctx, o.request(), interceptor.WithKey(o.id))
		}

		if err == nil || ctx.Err() != nil || !s.without && onlyonce.VerdictOf(err) == onlyonce.VerdictFinal {
			return err // a gRPC status
		}

		pause(ctx, retryPause)
	}
}

const (
	// retryPause is how long a customer waits after an error.
	retryPause = 100 * time.Millisecond
	// downTime is the longest time between killing a service and starting it again.
	downTime = 150 * time.Millisecond
	// restPart of all orders, and fewOrders at least, end between two strikes on average. Thus a slow machine has as many strikes as a fast
	// one.
	restPart = 40
	// lastPart of the orders wait until each service has been killed once.
	lastPart  = 10
	fewOrders = 12
)

// strike kills and restarts services until all orders are placed. Every round kills each service once, in random order.
func (t *trial) strike(ctx context.Context, s *stage, trace *service.Trace, finished <-chan struct{}, allStruck chan<- struct{}) {
	random := rand.New(rand.NewPCG(s.demo.seed, 1)) //nolint:gosec // not a secret
	most := max(len(s.demo.orders)/lastPart, 1)     // in the first round, so that each service is killed once in time
	victims := names()

	for round := 0; ; round++ {
		random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })

		for _, name := range victims {
			if !rest(ctx, finished, random.IntN(most)) {
				return
			}

			m := s.members[name]
			m.kill()
			trace.Write(&service.Entry{Kind: service.KindKilled, At: time.Now(), What: name})

			t.kills[name]++

			pause(ctx, time.Duration(random.Int64N(int64(downTime))))

			// The service starts even if all orders are placed by now: settle stops it.
			if err := s.launch(m); err != nil {
				s.fail(err)

				return
			}
		}

		if round == 0 {
			close(allStruck)

			most = 2 * max(len(s.demo.orders)/restPart, fewOrders)
		}
	}
}

// rest waits until some orders are finished, and reports false when all are placed.
func rest(ctx context.Context, finished <-chan struct{}, orders int) bool {
	for range orders {
		select {
		case <-finished:
		case <-ctx.Done():
			return false
		}
	}

	return ctx.Err() == nil
}

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
