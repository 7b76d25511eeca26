package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/examples/payments/faultynet"
	"github.com/onlyonce-go/onlyonce/examples/payments/orders"
	paymentsv1 "github.com/onlyonce-go/onlyonce/examples/payments/proto/payments/v1"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
)

// mode is a way to pay the orders.
type mode string

const (
	modePlain    mode = "plain"    // retries without keys
	modeOnlyonce mode = "onlyonce" // retries with keys, and servers that read them
	modeNoKit    mode = "nokit"    // the client of modeOnlyonce, and servers that do not read keys
)

// trial is the result of paying all orders in one mode.
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
	killed    int                       // servers
	unknown   int64                     // submissions with an unknown outcome: at first, or at the end if the client may not retry
	settled   int                       // unknown outcomes, by reconcilers
	reason    string                    // an error of a submission whose outcome is unknown in the end
	statuses  map[onlyonce.Status]int64 // of attempts that the server answered
}

// payFunc pays one order.
type payFunc func(ctx context.Context, order orders.Order) error

// run pays all orders, on servers with an empty ledger and behind faulty networks, and reads the ledger.
func (d *demo) run(ctx context.Context, m mode) (_ *trial, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer func() { err = because(ctx, err) }()

	s, err := d.open(ctx, m, fail)
	if err != nil {
		return nil, err
	}
	defer s.close()

	result := &trial{mode: m, requested: len(d.orders), statuses: make(map[onlyonce.Status]int64)}

	if err := d.payAll(ctx, fail, result, s); err != nil {
		return nil, err
	}

	for _, network := range s.networks() {
		result.faults = result.faults.Plus(network.Counts())
	}

	// Calls that are still in the servers end before the ledger is read.
	if result.settled, err = s.settle(ctx); err != nil {
		return nil, err
	}

	if err := result.audit(ctx, d.orders, s); err != nil {
		return nil, err
	}

	return result, nil
}

func (d *demo) open(ctx context.Context, m mode, fail context.CancelCauseFunc) (stage, error) {
	if d.shared == "" {
		return d.openLocal(m) //nolint:contextcheck // Validate takes none
	}

	if isDatabase(d.shared) {
		return d.openTills(ctx, m, fail)
	}

	return d.openFleet(ctx, m, fail)
}

// strikes returns the numbers of orders after which a server is killed.
func (d *demo) strikes(m mode) []int {
	const parts = 3 // one server is killed after the first part of the orders

	n := 1

	switch {
	case d.shared == "":
		return nil // a store in memory would die with its server
	case m == modeNoKit:
		return nil // without retries, most orders would have no answer while the server is down
	case isDatabase(d.shared):
		n = tillStrikes
	}

	at := make([]int, n)
	for i := range at {
		at[i] = len(d.orders) * (i + 1) / (n + parts - 1)
	}

	return at
}

// payAll submits all orders, some of them twice at the same time. Each client has its own connections. It fails when ctx ends.
func (d *demo) payAll(ctx context.Context, fail context.CancelCauseFunc, result *trial, s stage) error {
	queue := make(chan *submission)
	meter := newMeter(d.progress, string(result.mode), len(d.orders))
	began := time.Now()

	var (
		clients  sync.WaitGroup
		observed observations
	)

	if err := d.startClients(ctx, &clients, queue, meter, result.mode, s, &observed); err != nil {
		close(queue)
		clients.Wait()

		return err
	}

	paying, paid := context.WithCancel(ctx)
	strike := func(held func()) (int, error) { return s.strike(ctx, paying, held) }
	striking := &striker{at: d.strikes(result.mode), strike: strike, fail: fail, free: 2 * d.workers} // two for each client
	all := d.submitAll(queue, result.mode, striking)

	close(queue)
	clients.Wait()
	paid()

	result.killed = striking.wait()

	meter.end()

	if ctx.Err() != nil {
		return fmt.Errorf("the run was interrupted: %w", context.Cause(ctx))
	}

	result.took = time.Since(began)
	result.collect(all, &observed)

	return nil
}

// startClients starts the clients, which pay what is in the queue until it is closed.
func (d *demo) startClients(
	ctx context.Context, clients *sync.WaitGroup, queue <-chan *submission, meter *meter, m mode, s stage, observed *observations,
) error {
	retries, err := d.retries(m, observed)
	if err != nil {
		return err
	}

	for range d.workers {
		pay, closeConn, err := d.dial(m, s.networks(), observed, retries)
		if err != nil {
			return err
		}

		clients.Go(func() {
			defer closeConn()

			for wish := range queue {
				wish.submit(ctx, d.patience, pay)
				meter.step(wish.first)
			}
		})
	}

	return nil
}

// submitAll puts all orders into the queue, and strikes on the way.
func (d *demo) submitAll(queue chan<- *submission, m mode, striking *striker) []*submission {
	random := rand.New(rand.NewPCG(d.seed, uint64(len(d.orders)))) //nolint:gosec // not a secret, and reproducible
	all := make([]*submission, 0, len(d.orders)+len(d.orders)/10)  // room for orders that are submitted twice

	for i, order := range d.orders {
		striking.before(i)

		copies := 1
		if random.Float64() < d.twice && m != modeNoKit { // without the kit, a server charges both
			copies = 2
		}

		for i := range copies {
			wish := &submission{order: order, first: i == 0}
			all = append(all, wish)
			queue <- wish
		}
	}

	return all
}

// submission is a request of one user to pay an order.
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

// observations counts the observations of all clients of a trial.
type observations struct {
	attempts atomic.Int64
	unknown  atomic.Int64

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

// retries returns the options that all clients of a trial share.
func (d *demo) retries(m mode, observed *observations) ([]grpc.DialOption, error) {
	config := []interceptor.ClientOption{
		interceptor.WithRetry(d.retry),
		interceptor.WithRetention(d.retention),
		interceptor.WithAttemptObserver(observed.see),
	}

	switch m {
	case modePlain:
		return nil, nil
	case modeNoKit:
		config = append(config, interceptor.WithMethods(undeclaredPay))
	case modeOnlyonce:
	}

	if d.metrics != nil {
		config = append(config, d.metrics.ClientOption())
	}

	keyed, err := interceptor.DialOptions(config...)
	if err != nil {
		return nil, fmt.Errorf("configuring the clients: %w", err)
	}

	return keyed, nil
}

// dial connects a client to all servers. The client spreads its attempts over them, with the same retries in all modes.
func (d *demo) dial(
	m mode, networks []*faultynet.Proxy, observed *observations, retries []grpc.DialOption,
) (payFunc, func(), error) {
	servers := manual.NewBuilderWithScheme("demo")

	var state resolver.State
	for _, network := range networks {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: network.Addr()})
	}

	servers.InitialState(state)

	opts := slices.Concat(retries, []grpc.DialOption{
		grpc.WithResolvers(servers),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// By default, a client dials a broken connection again after a second. That delay would dominate the times of the demo.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDisableRetry(),
	})

	conn, err := grpc.NewClient(servers.Scheme()+":///", opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting a client: %w", err)
	}

	client := paymentsv1.NewPaymentServiceClient(conn)
	pay := map[mode]payFunc{
		modePlain: d.plainRetries(client, observed), modeOnlyonce: keyed(client, observed), modeNoKit: once(conn, observed),
	}

	return pay[m], func() { _ = conn.Close() }, nil
}

// retryPause is how long a user waits after an unknown outcome.
const retryPause = 200 * time.Millisecond

// keyed pays with the order's key. The client retries by itself. If the call then was not executed, or its outcome is unknown, the user
// calls again with the same key until there is a final answer.
func keyed(client paymentsv1.PaymentServiceClient, observed *observations) payFunc {
	return func(ctx context.Context, order orders.Order) error {
		told := false

		for {
			_, err := client.Pay(ctx, request(order), interceptor.WithKey(order.Key()))
			if onlyonce.VerdictOf(err) == onlyonce.VerdictFinal {
				return err // nil, or a gRPC status
			}

			if status.Code(err) == codes.Unknown && !told { // that of OUTCOME_UNKNOWN
				told = true

				observed.unknown.Add(1)
			}

			timer := time.NewTimer(retryPause)

			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()

				return err // a gRPC status
			}
		}
	}
}

// once pays with the order's key, at a server that does not read it. An unknown outcome stays unknown: a retry could charge twice.
func once(conn *grpc.ClientConn, observed *observations) payFunc {
	return func(ctx context.Context, order orders.Order) error {
		err := conn.Invoke(ctx, undeclaredPay, request(order), new(paymentsv1.PayResponse), interceptor.WithKey(order.Key()))
		if onlyonce.VerdictOf(err) == onlyonce.VerdictUnknown {
			observed.unknown.Add(1)
		}

		return err // a gRPC status
	}
}

// plainRetries pays as most clients do without onlyonce.
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

		if t.reason == "" && s.err != nil && onlyonce.VerdictOf(s.err) == onlyonce.VerdictUnknown {
			t.reason = s.err.Error()
		}
	}

	slices.Sort(t.latencies)

	t.submitted = len(all)
	t.answered = t.requested - len(unanswered)
	t.attempts = observed.attempts.Load()
	t.unknown = observed.unknown.Load()
	t.statuses = observed.statuses
}

// audit reads the real charges from the ledger.
func (t *trial) audit(ctx context.Context, all []orders.Order, s stage) error {
	for _, order := range all {
		n, err := s.charges(ctx, order.ID)
		if err != nil {
			return err
		}

		t.charged += n

		switch {
		case n == 0:
			t.missing++
		case n > 1:
			t.doubled++
		}
	}

	return nil
}
