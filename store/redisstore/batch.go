package redisstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatch is how many commands are sent together at most.
	maxBatch = 256
	// maxFlights is how many batches are under way to a server at once. One more than one, so that the next is sent while the
	// answers of the last are read.
	maxFlights = 2
	// maxLanes is how many lanes are kept that nobody uses. It is more than most clusters have masters.
	maxLanes = 64
)

// batcher lets concurrent operations share round trips. There is no goroutine and no delay: an operation that finds the way
// free goes at once, and alone; one that does not waits with others, until an operation that has come back sends one of them
// off with all of them.
type batcher struct {
	client  Client
	batched bool
	// patient clients may take longer than the context of an operation allows.
	patient bool
	// cluster is nil on a single server. In a cluster each server has a lane, so that one which is slow does not hold up the
	// others.
	cluster *redis.ClusterClient
	mu      sync.Mutex // is taken before that of a lane
	lanes   map[*redis.Client]*lane
	only    lane
	// known is set when the client knows the servers of the cluster. From then on it names the server of a key without a wait.
	known atomic.Bool
}

// lane is the way to one server.
type lane struct {
	mu      sync.Mutex
	flights int
	queue   []*request
}

// request is an operation that waits for others.
type request struct {
	cmds     []redis.Cmder
	deadline time.Time
	// turn receives once: true when the request is to lead, false when it has its answer.
	turn chan bool
}

func (b *batcher) init(client Client, batched bool) {
	b.client, b.batched, b.patient = client, batched, !heedsContexts(client)

	if cluster, ok := client.(*redis.ClusterClient); ok {
		b.cluster, b.lanes = cluster, make(map[*redis.Client]*lane)
	}
}

// heedsContexts reports whether a client gives up when the context of a command ends, in which case an operation needs no
// goroutine of its own.
func heedsContexts(client Client) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	default:
		return false
	}
}

// process sends a command by itself and waits for its answer, not longer than the context allows. After an error of the
// context nobody may look at the command.
func process(ctx context.Context, client Client, cmd redis.Cmder) error {
	return await(ctx, client, func() error {
		_ = client.Process(ctx, cmd)

		return cmd.Err() // waits where the client does not
	})
}

// await waits for what a client does, not longer than the context allows.
func await(ctx context.Context, client Client, run func() error) error {
	if heedsContexts(client) {
		return run()
	}

	done := make(chan error, 1)

	go func() { done <- run() }()

	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
}

// do sends commands on one key and waits for their answers, not longer than the context, which has a deadline, allows. Where it returns
// an error, the commands may still arrive, and nobody may look at them.
func (b *batcher) do(ctx context.Context, name string, cmds []redis.Cmder) error {
	if err := ctx.Err(); err != nil {
		return err //nolint:wrapcheck // wrapped by the operation
	}

	own := &request{cmds: cmds}
	own.deadline, _ = ctx.Deadline()

	l, err := b.lane(ctx, name)
	if err != nil {
		return err
	}

	if !b.batched {
		return b.lead(ctx, nil, []*request{own})
	}

	l.mu.Lock()

	if l.flights < maxFlights {
		l.flights++
		l.mu.Unlock()

		return b.lead(ctx, l, []*request{own})
	}

	own.turn = make(chan bool, 1)
	l.queue = append(l.queue, own)
	l.mu.Unlock()

	select {
	case leads := <-own.turn:
		if !leads {
			return nil
		}
	case <-ctx.Done():
		l.leave(own)

		return ctx.Err() //nolint:wrapcheck // as above
	}

	l.mu.Lock()
	others := min(len(l.queue), maxBatch-1)
	batch := append(append(make([]*request, 0, others+1), own), l.queue[:others]...)
	l.queue = slices.Delete(l.queue, 0, others)
	l.mu.Unlock()

	return b.lead(ctx, l, batch)
}

// lane is the way to the server of a key. It fails where the context ends before the servers of a cluster are known.
func (b *batcher) lane(ctx context.Context, name string) (*lane, error) {
	if b.cluster == nil {
		return &b.only, nil
	}

	server, err := b.server(ctx, name)

	if ctx.Err() != nil {
		return nil, ctx.Err() //nolint:wrapcheck // wrapped by the operation
	}

	if err != nil {
		return &b.only, nil
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	l := b.lanes[server]
	if l == nil {
		b.forgetIdle()

		l = new(lane)
		b.lanes[server] = l
	}

	return l, nil
}

// forgetIdle makes room for another lane: servers come and go with their addresses. It is called with the lock. An operation that
// has been given one of the lanes and has not yet entered it uses it all the same, which is harmless: it only shares no round trip
// with those that come after it, and that is all that a lane is for.
func (b *batcher) forgetIdle() {
	if len(b.lanes) >= maxLanes {
		maps.DeleteFunc(b.lanes, func(_ *redis.Client, l *lane) bool { return l.idle() })
	}
}

// server is the server of a key. The first call may have to load the servers of the cluster.
func (b *batcher) server(ctx context.Context, name string) (*redis.Client, error) {
	if !b.patient || b.known.Load() {
		server, err := b.cluster.MasterForKey(ctx, name)
		if err == nil && !b.known.Load() {
			b.known.Store(true)
		}

		return server, err //nolint:wrapcheck // wrapped by the operation
	}

	found := make(chan *redis.Client, 1)

	err := await(ctx, b.cluster, func() error {
		server, err := b.cluster.MasterForKey(ctx, name)
		found <- server

		return err //nolint:wrapcheck // as above
	})
	if err != nil {
		return nil, err
	}

	b.known.Store(true)

	return <-found, nil
}

// part is the address of the server that has a key, as far as the client knows. It is empty before the first operation.
func (b *batcher) part(name string) string {
	if !b.known.Load() {
		return ""
	}

	server, err := b.cluster.MasterForKey(context.Background(), name)
	if err != nil {
		return ""
	}

	return server.Options().Addr
}

// lead sends a batch and hands the lane on. The first request is the caller's own.
func (b *batcher) lead(ctx context.Context, l *lane, batch []*request) error {
	if len(batch) == 1 && !b.patient {
		b.exec(ctx, batch)
		l.next()

		return nil
	}

	// The others must not fail with their leader's context, nor the leader wait for theirs.
	shared, cancel := together(ctx, batch)
	done := make(chan struct{})

	go func() {
		defer close(done)
		defer cancel()

		b.exec(shared, batch)
		l.next()
	}()

	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // as above
	}
}

// together is a context that lasts as long as the batch may.
func together(ctx context.Context, batch []*request) (context.Context, context.CancelFunc) {
	if len(batch) == 1 {
		return ctx, func() {}
	}

	latest := batch[0].deadline
	for _, r := range batch[1:] {
		if r.deadline.After(latest) {
			latest = r.deadline
		}
	}

	return context.WithDeadline(context.WithoutCancel(ctx), latest)
}

// exec sends the requests and tells all but the first that they have their answers.
func (b *batcher) exec(ctx context.Context, batch []*request) {
	if len(batch) == 1 && len(batch[0].cmds) == 1 {
		_ = b.client.Process(ctx, batch[0].cmds[0])
		_ = batch[0].cmds[0].Err() // waits where the client does not

		return
	}

	pipe := b.client.Pipeline()
	for _, r := range batch {
		for _, cmd := range r.cmds {
			_ = pipe.Process(ctx, cmd)
		}
	}

	_, _ = pipe.Exec(ctx) // each has its own error

	for _, r := range batch[1:] {
		r.turn <- false
	}
}

// next lets the first of those who wait lead, or leaves the lane free.
func (l *lane) next() {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.queue) == 0 {
		l.flights--

		return
	}

	first := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	first.turn <- true
}

// idle reports whether nothing is under way and nobody waits.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.flights == 0 && len(l.queue) == 0
}

// leave takes a request out of the queue that has waited too long, or hands on the lead that it was given meanwhile.
func (l *lane) leave(r *request) {
	l.mu.Lock()

	if i := slices.Index(l.queue, r); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		l.mu.Unlock()

		return
	}
	l.mu.Unlock()

	// It was sent, or is to lead: its turn comes, at the latest when its batch is over.
	select {
	case leads := <-r.turn:
		if leads {
			l.next()
		}
	default: // its batch is under way
	}
}
