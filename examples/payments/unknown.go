package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/redisstore"
)

const (
	unknownOrders  = 200
	unknownServers = 4   // are killed, and get the same number of payments each
	settlers       = 2   // servers with a reconciler come after them
	settleTime     = 180 // seconds, at most
)

// unknownDemo kills servers while they pay.
type unknownDemo struct {
	address, run   string
	stdout, stderr io.Writer
	// settlers is the number of servers with a reconciler that follow the killed ones. They may work for patience, in seconds.
	settlers, patience int

	records store.Store
	engine  *onlyonce.Engine // on the same store, to observe
	ledger  *process
	book    paymentsv1.PaymentServiceClient
	fail    context.CancelCauseFunc
}

func unknownCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("payments unknown", flag.ContinueOnError)
	address := flags.String("store", "", "where idempotency records are kept: redis://host:6379, sqlite:path, postgres://… or mysql://…; "+
		"default: a temporary SQLite database")
	withConsole := flags.Bool("console", false, "serve the console on loopback, and print its address")

	if err := parse(flags, args, stderr); err != nil {
		return err
	}

	if *address == "" {
		dir, err := os.MkdirTemp("", "onlyonce-demo")
		if err != nil {
			return fmt.Errorf("creating a folder for the database: %w", err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // it is temporary

		*address = "sqlite:" + filepath.Join(dir, "records.db")
	}

	servers := 0
	if shared, err := checkStore(ctx, *address, &servers); err != nil {
		return err
	} else if !shared {
		return fmt.Errorf("the records of servers that are killed cannot be in %s: leave -store out, or give a store that processes share",
			memory)
	}

	return runUnknownDemo(ctx, *address, *withConsole, stdout, stderr)
}

// runUnknownDemo runs the demo on a store that processes share. With the console, it goes on until ctx ends.
func runUnknownDemo(ctx context.Context, address string, withConsole bool, stdout, stderr io.Writer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	d := newUnknownDemo(address, stdout, stderr, fail)

	closeStore, err := d.open() //nolint:contextcheck // see openUnknown
	if err != nil {
		return err
	}
	defer closeStore()

	if withConsole {
		closeConsole, err := serveConsole(stdout, d.engine) //nolint:contextcheck // it ends by being closed
		if err != nil {
			return err
		}
		defer closeConsole()
	}

	if err := d.show(ctx); err != nil {
		return because(ctx, err)
	}

	if withConsole {
		_, _ = fmt.Fprintln(stdout, "the console goes on until Ctrl-C")

		<-ctx.Done()
	}

	return nil
}

func newUnknownDemo(address string, stdout, stderr io.Writer, fail context.CancelCauseFunc) *unknownDemo {
	return &unknownDemo{
		address: address, run: demoPrefix + rand.Text()[:8] + ":", stdout: stdout, stderr: stderr, fail: fail,
		settlers: settlers, patience: settleTime,
	}
}

// open opens the store. The function closes it.
func (d *unknownDemo) open() (func(), error) {
	records, closeStore, err := openUnknown(d.address, d.run)
	if err != nil {
		return nil, err
	}

	d.records = records

	if d.engine, err = onlyonce.New(records, onlyonce.WithPolicy(sharedPolicy()), onlyonce.WithObserver(nil)); err != nil {
		closeStore()

		return nil, err // names the problem
	}

	return closeStore, nil
}

// show pays, kills servers, waits until everything is settled, and reports.
func (d *unknownDemo) show(ctx context.Context) (err error) {
	all, err := readOrders("")
	if err != nil {
		return err
	}

	all = all[:unknownOrders]

	_, _ = fmt.Fprintf(d.stdout, "%d payments to %d servers under AT_MOST_ONCE. Each server is killed with payments in its handler: "+
		"some of them are\ncharged, and some are not. Two other servers run reconcilers, which ask the provider.\n\nrecords: %s\n\n",
		len(all), unknownServers, location(d.address))

	if d.ledger, err = launch(ctx, "the provider", &childConfig{}, d.stderr, d.fail); err != nil {
		return err
	}
	defer d.ledger.kill()

	book, closeBook, err := dialProvider(d.ledger.addr)
	if err != nil {
		return err
	}
	defer closeBook()

	d.book = book

	unanswered, hanging, err := d.payAndKill(ctx, all)
	if err != nil {
		return err
	}

	unknown, err := d.waitUnknown(ctx, hanging)
	if err != nil {
		return err
	}

	_, _ = fmt.Fprintf(d.stdout, "%3d payments have an unknown outcome\n", len(unknown))

	settled, err := d.settle(ctx, unknown, unanswered)
	if err != nil {
		return err
	}

	return d.audit(ctx, all, len(unknown), settled)
}

// settle starts servers with reconcilers and waits until they have settled all unknown outcomes. Then it pays the unanswered orders again,
// with the same keys. It returns the number of settled outcomes.
func (d *unknownDemo) settle(ctx context.Context, unknown []store.Key, unanswered []orders.Order) (settled int, err error) {
	servers := make([]*process, d.settlers)
	for i := range servers {
		if servers[i], err = d.launch(ctx, fmt.Sprintf("settler %d", i+1), false); err != nil {
			return 0, err
		}
		defer servers[i].kill() //nolint:gocritic // each one lives until the end
	}

	if settled, err = d.waitSettled(ctx, unknown); err != nil {
		return 0, err
	}

	if err := d.payAgain(ctx, servers[0].addr, unanswered); err != nil {
		return 0, err
	}

	for _, server := range servers {
		if err := server.stop(ctx); err != nil {
			return 0, err
		}
	}

	return settled, nil
}

func (d *unknownDemo) launch(ctx context.Context, name string, hangs bool) (*process, error) {
	return launch(ctx, name,
		&childConfig{Unknown: true, Hangs: hangs, Ledger: d.ledger.addr, Store: d.address, Prefix: d.run, Run: d.run}, d.stderr, d.fail)
}

// payAndKill pays all orders, and kills every server when its payments hang. It returns the orders that have no answer, and how many
// payments were hanging.
func (d *unknownDemo) payAndKill(ctx context.Context, all []orders.Order) (unanswered []orders.Order, hanging int, err error) {
	n := 0

	for batch := range slices.Chunk(all, len(all)/unknownServers) {
		n++

		doomed, err := d.launch(ctx, fmt.Sprintf("server %d", n), true)
		if err != nil {
			return nil, 0, err
		}

		left := make(chan []orders.Order, 1)
		answered := make(chan struct{}, len(batch))

		go func() { left <- d.pay(ctx, doomed.addr, batch, answered) }()

		here, err := countHanging(ctx, doomed, answered, len(batch))

		doomed.kill()

		unanswered = append(unanswered, <-left...)

		if err != nil {
			return nil, 0, err
		}

		hanging += here

		_, _ = fmt.Fprintf(d.stdout, "server %d is killed with %d payments in its handler\n", n, here)
	}

	return unanswered, hanging, nil
}

// countHanging waits until every payment of a batch has been answered or hangs in the handler, and returns how many hang.
func countHanging(ctx context.Context, doomed *process, answered <-chan struct{}, batch int) (hanging int, err error) {
	lines := make(chan error, batch+1)

	go func() { // until the process ends
		for {
			_, err := doomed.lines.ReadString('\n')
			lines <- err

			if err != nil {
				return
			}
		}
	}()

	for range batch {
		select {
		case <-answered:
		case err := <-lines:
			if err != nil {
				return 0, fmt.Errorf("waiting for payments to hang: %w", err)
			}

			hanging++
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for payments to hang: %w", context.Cause(ctx))
		}
	}

	return hanging, nil
}

// pay pays orders at once, each with a single attempt, and returns those that have no answer. Answered has room for every order.
func (d *unknownDemo) pay(ctx context.Context, addr string, batch []orders.Order, answered chan<- struct{}) (left []orders.Order) {
	client, closeConn, err := dialProvider(addr) // a client without retries, like one without the kit
	if err != nil {
		return batch
	}
	defer closeConn()

	var (
		mu     sync.Mutex
		paying sync.WaitGroup
	)

	for _, order := range batch {
		paying.Go(func() {
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, interceptor.KeyHeader, order.Key()), stopTime)
			defer cancel()

			_, err := client.Pay(ctx, request(order))
			answered <- struct{}{}

			if err != nil {
				mu.Lock()
				defer mu.Unlock()

				left = append(left, order)
			}
		})
	}

	paying.Wait()

	return left
}

// askAgain asks once a second, at most as often as times says, until ask is done. An error of ask is not the end: a store that stands
// still answers later.
func askAgain(ctx context.Context, times int, ask func() (done bool, err error)) error {
	failed := errNotShown

	for range times {
		done, err := ask()
		if done {
			return nil
		}

		if failed = errNotShown; err != nil {
			failed = fmt.Errorf("%w: %w", errNotShown, err)
		}

		if err := rest(ctx, time.Second); err != nil {
			return err
		}
	}

	return failed
}

// payAgain pays orders until each has an answer. A busy store refuses some of them at first.
func (d *unknownDemo) payAgain(ctx context.Context, addr string, left []orders.Order) error {
	err := askAgain(ctx, settleTime, func() (bool, error) {
		left = d.pay(ctx, addr, left, make(chan struct{}, len(left)))

		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %d payments have no answer in the end", err, len(left))
	}

	return nil
}

// waitUnknown waits until the leases of the killed servers have ended, and returns the records whose outcome is unknown.
func (d *unknownDemo) waitUnknown(ctx context.Context, want int) (ids []store.Key, err error) {
	err = askAgain(ctx, settleTime, func() (bool, error) {
		ids, err = d.unknown(ctx)

		return err == nil && len(ids) >= want, err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: fewer than %d outcomes are unknown", err, want)
	}

	return ids, nil
}

// unknown returns the records whose outcome is unknown.
func (d *unknownDemo) unknown(ctx context.Context) (ids []store.Key, err error) {
	// In Redis, the index lacks the last claims of a killed server.
	if redis, ok := d.records.(*redisstore.Store); ok {
		if _, err := redis.Sweep(ctx); err != nil {
			return nil, fmt.Errorf("sweeping the store: %w", err)
		}
	}

	for rec, err := range d.engine.ListUnknown(ctx) {
		if err != nil {
			return nil, err // names the problem
		}

		if !isDatabase(d.address) || rec.Method == paymentsv1.PaymentService_Pay_FullMethodName {
			ids = append(ids, rec.ID)
		}
	}

	return ids, nil
}

// waitSettled waits until the reconcilers have settled all records, and returns how many they have settled.
func (d *unknownDemo) waitSettled(ctx context.Context, ids []store.Key) (settled int, err error) {
	err = askAgain(ctx, d.patience, func() (bool, error) {
		if settled, err = d.countSettled(ctx, ids); err != nil {
			return false, err
		}

		_, _ = fmt.Fprintf(d.stdout, "%3d of %d are settled\n", settled, len(ids))

		return settled == len(ids), nil
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %d of %d outcomes are settled", err, settled, len(ids))
	}

	return settled, nil
}

func (d *unknownDemo) countSettled(ctx context.Context, ids []store.Key) (settled int, err error) {
	for _, id := range ids {
		rec, err := d.engine.LookupID(ctx, id)
		if err != nil {
			return 0, err // names the problem
		}

		if !rec.Unknown && rec.SettledBy != "" {
			settled++
		}
	}

	return settled, nil
}

// audit compares the result with the ledger of the provider.
func (d *unknownDemo) audit(ctx context.Context, all []orders.Order, unknown, settled int) error {
	doubled, missing := 0, 0

	for _, order := range all {
		found, err := d.book.GetPayment(ctx, &paymentsv1.GetPaymentRequest{OrderId: order.ID})

		switch {
		case err != nil:
			return fmt.Errorf("reading the ledger: %w", err)
		case len(found.GetPayments()) == 0:
			missing++
		case len(found.GetPayments()) > 1:
			doubled++
		}
	}

	_, _ = fmt.Fprintf(d.stdout, "\nresult unknown=%d settled=%d doubled=%d missing=%d\n", unknown, settled, doubled, missing)

	if unknown == 0 || settled != unknown || doubled+missing > 0 {
		return errNotShown
	}

	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
