//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// broker is a test's connection to the server, and the queue that it has for itself.
type broker struct {
	t           *testing.T
	url         string
	queue, dead string
	ch          *amqp.Channel
}

// newBroker declares a quorum queue and one for its dead letters.
func newBroker(t *testing.T) *broker {
	t.Helper()

	return newBrokerAt(t, server(t).URL())
}

func newBrokerAt(t *testing.T, url string) *broker {
	t.Helper()

	b := &broker{t: t, url: url, queue: t.Name(), dead: t.Name() + ".dead"}
	b.connect()
	b.declare(b.dead, nil)
	b.declare(b.queue, amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": b.dead,
	})

	return b
}

func (b *broker) connect() {
	b.t.Helper()

	conn, err := amqp.Dial(b.url)
	if err != nil {
		b.t.Fatal(err)
	}

	b.t.Cleanup(func() { _ = conn.Close() }) // which may have ended

	if b.ch, err = conn.Channel(); err != nil {
		b.t.Fatal(err)
	}

	if err := b.ch.Confirm(false); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) declare(queue string, args amqp.Table) {
	b.t.Helper()

	if _, err := b.ch.QueueDeclare(queue, true, false, false, false, args); err != nil {
		b.t.Fatal(err)
	}
}

// publish sends a message, and returns when the server has it.
func (b *broker) publish(id, body string) {
	b.t.Helper()

	b.publishWith(id, body, amqp.Table{"tenant": "acme", "try": int32(7)})
}

func (b *broker) publishWith(id, body string, headers amqp.Table) {
	b.t.Helper()

	confirmed, err := b.ch.PublishWithDeferredConfirmWithContext(b.t.Context(), "", b.queue, true, false,
		amqp.Publishing{MessageId: id, DeliveryMode: amqp.Persistent, Body: []byte(body), Headers: headers})
	if err != nil {
		b.t.Fatal(err)
	}

	if ok, err := confirmed.WaitContext(b.t.Context()); err != nil || !ok {
		b.t.Fatalf("publishing: %v, %v", ok, err)
	}
}

// waitTaken waits until a queue has no message to deliver. It does not see a message that a consumer has and has not settled.
func (b *broker) waitTaken(queue string) {
	b.t.Helper()

	servertest.Wait(b.t, "nothing to deliver in "+queue, func() error {
		d, ok, err := b.ch.Get(queue, false)
		if err != nil {
			return err
		}

		if ok {
			return errors.Join(fmt.Errorf("there is %q", d.MessageId), d.Nack(false, true))
		}

		return nil
	})
}

// waitDead waits for the next dead letter.
func (b *broker) waitDead() (letter amqp.Delivery) {
	b.t.Helper()

	servertest.Wait(b.t, "a dead letter", func() (err error) {
		var ok bool
		if letter, ok, err = b.ch.Get(b.dead, true); err == nil && !ok {
			err = errors.New("there is none")
		}

		return err
	})

	return letter
}

// network makes connections that can be cut.
type network struct {
	url string

	mu    sync.Mutex
	conns []net.Conn
	dials int
}

func (n *network) dial(ctx context.Context) (*amqp.Connection, error) {
	return amqp.DialConfig(n.url, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		var dialer net.Dialer

		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}

		n.mu.Lock()
		defer n.mu.Unlock()

		n.conns = append(n.conns, conn)
		n.dials++

		return conn, nil
	}})
}

// cut breaks all connections. What was written may be lost.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()

	for _, conn := range n.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}

		_ = conn.Close()
	}

	n.conns = nil
}

// reports collects what consumers report.
type reports struct {
	mu  sync.Mutex
	all []oncerabbit.Report
}

func (r *reports) add(_ context.Context, report oncerabbit.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.all = append(r.all, report)
}

// count returns how many reports of messages fulfil a condition.
func (r *reports) count(is func(oncerabbit.Report) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, report := range r.all {
		if report.Message != nil && is(report) {
			n++
		}
	}

	return n
}

// failure returns why the last connection has ended or was not made.
func (r *reports) failure() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, report := range r.all {
		if report.Message == nil {
			err = report.Err
		}
	}

	return err
}

// wait waits for a report that fulfils a condition.
func (r *reports) wait(t *testing.T, what string, is func(oncerabbit.Report) bool) {
	t.Helper()

	servertest.Wait(t, what, func() error {
		if r.count(is) == 0 {
			return errors.New("not reported")
		}

		return nil
	})
}

func replayed(r oncerabbit.Report) bool { return r.Decision.Replayed }

// start runs a consumer until the test ends or stop is called.
func start(t *testing.T, c *oncerabbit.Consumer, dial oncerabbit.Dialer) (stop func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)

		if err := c.Run(ctx, dial); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()

	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)

	return stop
}

// engine makes an engine that waits little for duplicates.
func engine(t *testing.T, st store.Store, p onlyonce.Policy) *onlyonce.Engine {
	t.Helper()

	p.MaxWait = 10 * time.Millisecond

	e, err := onlyonce.New(st, onlyonce.WithPolicy(p), onlyonce.WithObserver(onlyonce.ObserverFunc(func(context.Context, onlyonce.Event) {})))
	if err != nil {
		t.Fatal(err)
	}

	return e
}

// memory makes a store.
func memory() store.Store { return memstore.New() }

// soon is a backoff that costs tests no time.
func soon(int) time.Duration { return 20 * time.Millisecond }

// handler makes a handler of messages with ids.
func handler(
	t *testing.T, e *onlyonce.Engine, handle func(ctx context.Context, m *consume.Message) error,
) oncerabbit.Handler {
	t.Helper()

	h, err := consume.Handler(e, "test", consume.ByID, handle, consume.WithBackoff(soon))
	if err != nil {
		t.Fatal(err)
	}

	return h
}

// consumer makes a consumer that reconnects at once.
func (b *broker) consumer(h oncerabbit.Handler, opts ...oncerabbit.Option) *oncerabbit.Consumer {
	b.t.Helper()

	opts = append([]oncerabbit.Option{oncerabbit.WithBackoff(soon)}, opts...)

	c, err := oncerabbit.New(b.queue, h, oncerabbit.ByPublishing("", b.dead), opts...)
	if err != nil {
		b.t.Fatal(err)
	}

	return c
}

// effects counts what has happened, by message.
type effects struct {
	mu sync.Mutex
	n  map[string]int
}

func (e *effects) add(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()

	if e.n == nil {
		e.n = make(map[string]int)
	}

	e.n[id]++
}

// check reports every message that has not had its one effect.
func (e *effects) check(t *testing.T, ids ...string) {
	t.Helper()

	e.mu.Lock()
	defer e.mu.Unlock()

	for _, id := range ids {
		if e.n[id] != 1 {
			t.Errorf("%s: %d effects", id, e.n[id])
		}
	}

	if len(e.n) != len(ids) {
		t.Errorf("effects of %d messages, want %d", len(e.n), len(ids))
	}
}
