//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
)

// buried is a handler that makes every message a dead letter, and counts.
func buried(calls *atomic.Int64) oncerabbit.Handler {
	return func(context.Context, *consume.Message) consume.Decision {
		calls.Add(1)

		return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison}
	}
}

// A missing exchange ends the channel of the dead letters.
func TestADeadLetterThatIsRefusedIsSentAgainAndNotHandledAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	exchange := b.queue + ".exchange"

	var (
		calls atomic.Int64
		seen  reports
	)

	c, err := oncerabbit.New(b.queue, buried(&calls), oncerabbit.ByPublishing(exchange, "key"), oncerabbit.WithRetry(soon(1)),
		oncerabbit.WithReport(seen.add))
	if err != nil {
		t.Fatal(err)
	}

	start(t, c, (&network{url: b.url}).dial)
	b.publish("a", "body")

	refused := func(r oncerabbit.Report) bool {
		var missing *amqp.Error

		return errors.As(r.Err, &missing) && missing.Code == amqp.NotFound
	}
	seen.wait(t, "the reason", refused)

	if err := b.ch.ExchangeDeclare(exchange, amqp.ExchangeFanout, false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}

	// Until here the exchange has no queue, which is another refusal.
	if err := b.ch.QueueBind(b.dead, "", exchange, false, nil); err != nil {
		t.Fatal(err)
	}

	if letter := b.waitDead(); letter.MessageId != "a" {
		t.Errorf("the dead letter is %q", letter.MessageId)
	}

	b.waitTaken(b.queue)

	if n := calls.Load(); n != 1 {
		t.Errorf("the handler was called %d times", n)
	}
}

// The server ends a connection that sends properties and headers larger than a frame, which has 131,072 bytes by default.
func TestADeadLetterThatExceedsAFrameHasFewerHeaders(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		padding int
		want    string // of Onlyonce-Cause
	}{
		"without the error":  {130_500, "poison"},
		"with its own alone": {131_000, ""},
		"with all that fit":  {0, "poison"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b := newBroker(t)

			handle := func(context.Context, *consume.Message) consume.Decision {
				err := errors.New(strings.Repeat("e", 1000))

				return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison, Err: err}
			}

			start(t, b.consumer(handle), (&network{url: b.url}).dial)
			b.publishWith("a", "body", amqp.Table{"padding": strings.Repeat("x", tt.padding)})

			letter := b.waitDead()
			cause, _ := letter.Headers[consume.HeaderCause].(string)
			padding, _ := letter.Headers["padding"].(string)
			_, explained := letter.Headers[consume.HeaderError]

			if letter.MessageId != "a" || string(letter.Body) != "body" || len(padding) != tt.padding || cause != tt.want ||
				explained != (tt.padding == 0) {
				t.Errorf("the dead letter %q has the body %q, the cause %q, an error: %v, and %d bytes of its own", letter.MessageId, letter.Body,
					cause, explained, len(padding))
			}

			b.waitTaken(b.queue)
		})
	}
}

// The server sends a message with the header CC to more queues.
func TestADeadLetterGoesNowhereElse(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	other := b.queue + ".other"
	b.declare(other, nil)

	confirmed, err := b.ch.PublishWithDeferredConfirmWithContext(t.Context(), "", b.queue, true, false,
		amqp.Publishing{MessageId: "a", Headers: amqp.Table{"CC": []any{other}}})
	if err != nil {
		t.Fatal(err)
	}

	if ok, err := confirmed.WaitContext(t.Context()); err != nil || !ok {
		t.Fatalf("publishing: %v, %v", ok, err)
	}

	if _, ok, err := b.ch.Get(other, true); err != nil || !ok {
		t.Fatalf("the message has no copy: %v", err)
	}

	var calls atomic.Int64

	start(t, b.consumer(buried(&calls)), (&network{url: b.url}).dial)
	b.waitDead()
	b.waitTaken(b.queue)

	if d, ok, err := b.ch.Get(other, true); err != nil || ok {
		t.Errorf("the other queue has %v, %v", d.Headers, err)
	}
}

// A stream takes no message back. After a new connection, it delivers only what is published later.
func TestAStreamIsRefusedBeforeItDeliversAMessage(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	stream := b.queue + ".stream"
	b.declare(stream, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream})

	c, err := oncerabbit.New(stream, func(context.Context, *consume.Message) consume.Decision {
		return consume.Decision{Action: consume.Redeliver, Cause: consume.CauseStore}
	}, oncerabbit.ByPublishing("", b.dead))
	if err != nil {
		t.Fatal(err)
	}

	if err := c.Run(t.Context(), (&network{url: b.url}).dial); !errors.Is(err, oncerabbit.ErrStream) {
		t.Errorf("Run: %v, want ErrStream", err)
	}
}

// A connection that publishes may be blocked by the server, and then no acknowledgement arrives.
func TestDeadLettersHaveAConnectionOfTheirOwn(t *testing.T) {
	t.Parallel()

	b := newBroker(t)
	net := &network{url: b.url}

	h := handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		if m.ID == "bad" {
			return onlyonce.Final(errors.New("cannot be handled"))
		}

		return nil
	})

	var seen reports

	start(t, b.consumer(h, oncerabbit.WithReport(seen.add)), net.dial)

	dials := func(id string) int {
		b.publish(id, id)
		seen.wait(t, id, func(r oncerabbit.Report) bool { return r.Message.ID == id && r.Err == nil })

		net.mu.Lock()
		defer net.mu.Unlock()

		return net.dials
	}

	before := dials("good")
	if after := dials("bad"); after != before+1 {
		t.Errorf("%d connections before the dead letter, %d after it", before, after)
	}
}

func TestAConnectionForDeadLettersThatRecoversByItselfIsRefused(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var (
		calls, dials atomic.Int64
		seen         reports
	)

	stop := start(t, b.consumer(buried(&calls), oncerabbit.WithReport(seen.add)), func(context.Context) (*amqp.Connection, error) {
		if dials.Add(1) == 1 {
			return amqp.Dial(b.url)
		}

		return amqp.DialConfig(b.url, amqp.Config{Recovery: &amqp.Recovery{}})
	})

	b.publish("a", "")
	seen.wait(t, "the refusal", func(r oncerabbit.Report) bool { return errors.Is(r.Err, oncerabbit.ErrRecovery) })
	stop()

	if d, ok, err := b.ch.Get(b.queue, true); err != nil || !ok || d.MessageId != "a" {
		t.Errorf("the message is not there: %v", err)
	}
}

func TestAMessageIsHeldForItsDelayWhileOthersGoOn(t *testing.T) {
	t.Parallel()

	b := newBroker(t)

	var (
		held atomic.Int64
		seen reports
	)

	start(t, b.consumer(func(_ context.Context, m *consume.Message) consume.Decision {
		if m.ID == "held" {
			held.Add(1)

			return consume.Decision{Action: consume.Redeliver, Delay: time.Hour}
		}

		return consume.Decision{Action: consume.Ack}
	}, oncerabbit.WithReport(seen.add)), (&network{url: b.url}).dial)

	b.publish("held", "")

	for i := range 20 {
		id := strconv.Itoa(i)
		b.publish(id, "")
		seen.wait(t, id, func(r oncerabbit.Report) bool { return r.Message.ID == id && r.Err == nil })
	}

	if n := held.Load(); n != 1 {
		t.Errorf("it was delivered %d times", n)
	}
}
