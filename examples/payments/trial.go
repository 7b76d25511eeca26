package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/ledger"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// mode is how the orders are paid.
type mode string

const (
	modePlain    mode = "plain"    // retries without keys
	modeOnlyonce mode = "onlyonce" // retries with keys, and a server that looks at them
)

// trial is all orders paid in one mode, and what came of it.
type trial struct {
	mode mode

	requested int // orders
	submitted int // submissions: some orders are submitted twice
	answered  int // orders whose submissions all ended with a payment
	charged   int // charges in the ledger
	doubled   int // orders that were charged more than once
	missing   int // orders that were never charged
	attempts  int64
	latencies []time.Duration // of all submissions, sorted
	took      time.Duration
	faults    faultynet.Counts
	statuses  map[onlyonce.Status]int64 // of attempts that the server answered
}

// payFunc pays one order.
type payFunc func(ctx context.Context, order orders.Order) error

// run starts a server with an empty ledger behind a faulty network, pays all orders and reads the ledger.
func (d *demo) run(ctx context.Context, m mode) (result *trial, err error) {
	book := ledger.New()

	engine, err := d.engine(m)
	if err != nil {
		return nil, err
	}

	server, err := newServer(engine, book, d.work)
	if err != nil {
		return nil, err
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // there is nothing to cancel
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	proxy, err := faultynet.Listen(listener.Addr().String(), d.faults, d.seed)
	if err != nil {
		server.Stop()

		return nil, err
	}

	result = &trial{mode: m, requested: len(d.orders), statuses: make(map[onlyonce.Status]int64)}
	payErr := d.payAll(ctx, result, proxy.Addr())
	result.faults = proxy.Counts()

	// What is still on its way in the server ends before the ledger is read.
	closeErr := proxy.Close()

	server.GracefulStop()

	serveErr := <-served

	if engine != nil {
		if err := engine.Drain(ctx); err != nil {
			return nil, err // it says what it is about
		}
	}

	for _, err := range []error{payErr, closeErr, serveErr} {
		if err != nil {
			return nil, err
		}
	}

	result.audit(d.orders, book)

	return result, nil
}

func (d *demo) engine(m mode) (*onlyonce.Engine, error) {
	if m == modePlain {
		return nil, nil //nolint:nilnil // there is none in this mode
	}

	return onlyonce.New(d.records) // it says what is wrong
}

// payAll submits all orders, some of them twice at once, from clients with a connection each.
func (d *demo) payAll(ctx context.Context, result *trial, addr string) error {
	random := rand.New(rand.NewPCG(d.seed, uint64(len(d.orders)))) //nolint:gosec // not a secret, and reproducible

	queue := make(chan *submission)
	meter := newMeter(d.progress, string(result.mode), len(d.orders))
	began := time.Now()

	var (
		clients  sync.WaitGroup
		observed observations
	)

	for range d.workers {
		pay, closeConn, err := d.dial(result.mode, addr, &observed)
		if err != nil {
			close(queue)
			clients.Wait()

			return err
		}

		clients.Go(func() {
			defer closeConn()

			for s := range queue {
				s.submit(ctx, d.patience, pay)
				meter.step(s.first)
			}
		})
	}

	all := make([]*submission, 0, len(d.orders)+len(d.orders)/10) // room for those that come twice

	for _, order := range d.orders {
		copies := 1
		if random.Float64() < d.twice {
			copies = 2
		}

		for i := range copies {
			s := &submission{order: order, first: i == 0}
			all = append(all, s)
			queue <- s
		}
	}

	close(queue)
	clients.Wait()
	meter.end()

	if ctx.Err() != nil {
		return fmt.Errorf("the run was interrupted: %w", context.Cause(ctx))
	}

	result.took = time.Since(began)
	result.collect(all, &observed)

	return nil
}

// submission is one user's wish to pay an order.
type submission struct {
	order orders.Order
	first bool // the order's first submission
	err   error
	took  time.Duration
}

func (s *submission) submit(ctx context.Context, patience time.Duration, pay payFunc) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	began := time.Now()
	s.err = pay(ctx, s.order)
	s.took = time.Since(began)
}

// observations are counted over all clients of a trial.
type observations struct {
	attempts atomic.Int64

	mu       sync.Mutex
	statuses map[onlyonce.Status]int64
}

func (o *observations) see(_ context.Context, a interceptor.Attempt) {
	o.attempts.Add(1)

	o.mu.Lock()
	defer o.mu.Unlock()

	if o.statuses == nil {
		o.statuses = make(map[onlyonce.Status]int64)
	}

	if a.Status != "" {
		o.statuses[a.Status]++
	}
}

// dial connects a client. In both modes it retries in the same way; only onlyonce sends a key.
func (d *demo) dial(m mode, addr string, observed *observations) (payFunc, func(), error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The default of a second before a broken connection is dialled again would be all that the demo shows.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDisableRetry(),
	}

	if m == modeOnlyonce {
		keyed, err := interceptor.DialOptions(
			interceptor.WithMethods(paymentsv1.PaymentService_Pay_FullMethodName),
			interceptor.WithRetry(d.retry),
			interceptor.WithAttemptObserver(observed.see),
		)
		if err != nil {
			return nil, nil, fmt.Errorf("configuring a client: %w", err)
		}

		opts = append(opts, keyed...)
	}

	conn, err := grpc.NewClient("passthrough:"+addr, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting a client: %w", err)
	}

	client := paymentsv1.NewPaymentServiceClient(conn)
	pay := func(ctx context.Context, order orders.Order) error {
		_, err := client.Pay(ctx, request(order), interceptor.WithKey(order.Key()))

		return err // a gRPC status
	}

	if m == modePlain {
		pay = d.plainRetries(client, observed)
	}

	return pay, func() { _ = conn.Close() }, nil
}

// plainRetries is what one would write without onlyonce.
func (d *demo) plainRetries(client paymentsv1.PaymentServiceClient, observed *observations) payFunc {
	options := retry.Options{Classify: func(a retry.Attempt) retry.Decision {
		return retry.Decision{Retry: a.TimedOut || status.Code(a.Err) == codes.Unavailable}
	}}

	return func(ctx context.Context, order orders.Order) error {
		_, err := retry.Do(ctx, d.retry, options, func(ctx context.Context, _ int) (*paymentsv1.PayResponse, error) {
			observed.attempts.Add(1)

			return client.Pay(ctx, request(order))
		})

		return err // a gRPC status
	}
}

func request(order orders.Order) *paymentsv1.PayRequest {
	return &paymentsv1.PayRequest{
		OrderId: order.ID, Payer: order.Payer, Payee: order.Payee, AmountMinor: order.AmountMinor, Currency: order.Currency,
	}
}

func (t *trial) collect(all []*submission, observed *observations) {
	unanswered := make(map[string]bool)

	for _, s := range all {
		t.latencies = append(t.latencies, s.took)

		if s.err != nil {
			unanswered[s.order.ID] = true
		}
	}

	slices.Sort(t.latencies)

	t.submitted = len(all)
	t.answered = t.requested - len(unanswered)
	t.attempts = observed.attempts.Load()
	t.statuses = observed.statuses
}

// audit reads from the ledger what really happened.
func (t *trial) audit(all []orders.Order, book *ledger.Ledger) {
	t.charged = book.Total()

	for _, order := range all {
		switch n := len(book.Payments(order.ID)); {
		case n == 0:
			t.missing++
		case n > 1:
			t.doubled++
		}
	}
}
