package demo

import (
	"context"
	"slices"
	"sync"
	"time"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

// crowd is the customers of a trial.
type crowd struct {
	queue    chan *order
	results  chan time.Duration // of the answered orders
	finished chan struct{}      // a value for each order, answered or not
	meter    *meter

	customers sync.WaitGroup
}

// start starts the customers, which place the orders of the queue until it is closed.
func (c *crowd) start(ctx context.Context, s *stage, trace *service.Trace) error {
	for range s.demo.workers {
		conn, err := service.Dial(s.members[service.Gateway].line.Addr(), trace, service.Retry(2*time.Second), s.without)
		if err != nil {
			return err
		}

		client := shopv1.NewGatewayServiceClient(conn)

		c.customers.Go(func() {
			defer conn.Close() //nolint:errcheck // nothing is under way

			for o := range c.queue {
				submitted := time.Now()

				if s.checkout(ctx, client, o) == nil {
					c.results <- time.Since(submitted)
				}

				c.meter.step()

				c.finished <- struct{}{}
			}
		})
	}

	return nil
}

// submit puts all orders into the queue, and closes it. The last part of the orders waits until each service has been killed once.
func (c *crowd) submit(ctx context.Context, orders []order, allStruck <-chan struct{}) {
	for i := range orders {
		if i == len(orders)-len(orders)/lastPart-1 {
			select {
			case <-allStruck:
			case <-ctx.Done():
			}
		}

		c.queue <- &orders[i]
	}

	close(c.queue)
}

// latencies returns the times of the answered orders, sorted. Call it after the customers have ended.
func (c *crowd) latencies() []time.Duration {
	close(c.results)

	var all []time.Duration

	for latency := range c.results {
		all = append(all, latency)
	}

	slices.Sort(all)

	return all
}
