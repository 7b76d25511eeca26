package consume_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

var errBoom = errors.New("boom")

// consumer is a handler of a test.
type consumer struct {
	t       *testing.T
	engine  *onlyonce.Engine
	deliver func(ctx context.Context, m *consume.Message) consume.Decision
	runs    atomic.Int64
}

// start makes a handler on a store. A nil store is a memstore, and a nil handle returns nil.
func start(t *testing.T, s store.Store, handle func(context.Context, *consume.Message) error, opts ...consume.Option) *consumer {
	t.Helper()

	if s == nil {
		s = memstore.New()
	}

	engine, err := onlyonce.New(s)
	if err != nil {
		t.Fatal(err)
	}

	c := &consumer{t: t, engine: engine}

	c.deliver, err = consume.Handler(engine, "billing", consume.ByID, func(ctx context.Context, m *consume.Message) error {
		c.runs.Add(1)

		if handle == nil {
			return nil
		}

		return handle(ctx, m)
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}

	return c
}

func message(id string, deliveries int) *consume.Message {
	return &consume.Message{Source: "orders", ID: id, Data: []byte("data of " + id), Deliveries: deliveries}
}

// gets delivers a message and checks what becomes of it.
func (c *consumer) gets(m *consume.Message, action consume.Action, cause consume.Cause) consume.Decision {
	c.t.Helper()

	d := c.deliver(c.t.Context(), m)
	if d.Action != action || d.Cause != cause {
		c.t.Errorf("delivery %d of %q: %v because of %q (%v), want %v because of %q", m.Deliveries, m.ID, d.Action, d.Cause, d.Err, action, cause)
	}

	return d
}

func (c *consumer) hasRun(times int64) {
	c.t.Helper()

	if got := c.runs.Load(); got != times {
		c.t.Errorf("the handler has run %d times, want %d", got, times)
	}
}

func guarantee(g onlyonce.Guarantee) consume.Option {
	return consume.WithPolicy(onlyonce.Policy{Guarantee: g})
}

func TestAMessageIsHandledOnceHoweverOftenItIsDelivered(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil)

	if d := c.gets(message("m", 1), consume.Ack, consume.CauseDone); d.Replayed || d.Err != nil {
		t.Errorf("the first decision is %+v", d)
	}

	for n := range 3 {
		if d := c.gets(message("m", n+2), consume.Ack, consume.CauseDone); !d.Replayed {
			t.Errorf("a later decision is %+v", d)
		}
	}

	c.hasRun(1)
	c.gets(message("other", 1), consume.Ack, consume.CauseDone)
	c.hasRun(2)
}

func TestAFinalErrorIsRecorded(t *testing.T) {
	t.Parallel()

	c := start(t, nil, func(context.Context, *consume.Message) error { return onlyonce.Final(errBoom) })

	if d := c.gets(message("m", 1), consume.DeadLetter, consume.CauseFinal); !errors.Is(d.Err, errBoom) {
		t.Errorf("the error is %v", d.Err)
	}

	d := c.gets(message("m", 2), consume.DeadLetter, consume.CauseFinal)
	if recorded, ok := errors.AsType[*onlyonce.RecordedError](d.Err); !ok || recorded.Message != "boom" || !d.Replayed {
		t.Errorf("the replay is %+v", d)
	}

	c.hasRun(1)

	chosen := start(t, nil, func(context.Context, *consume.Message) error { return onlyonce.Final(errBoom) },
		consume.WithFinalErrors(consume.Ack))
	chosen.gets(message("m", 1), consume.Ack, consume.CauseFinal)
	chosen.gets(message("m", 2), consume.Ack, consume.CauseFinal)
}

func TestF32AFailedMessageIsHandledAgain(t *testing.T) {
	t.Parallel()

	for name, opt := range map[string]consume.Option{
		"AtLeastOnce": guarantee(onlyonce.AtLeastOnce), "NotExecuted": guarantee(onlyonce.AtMostOnce),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			fail := true
			c := start(t, nil, func(context.Context, *consume.Message) error {
				switch {
				case !fail:
					return nil
				case name == "NotExecuted":
					return onlyonce.NotExecuted(errBoom)
				default:
					return errBoom
				}
			}, opt)

			if d := c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed); d.Delay <= 0 || !errors.Is(d.Err, errBoom) {
				t.Errorf("the decision is %+v", d)
			}

			fail = false

			c.gets(message("m", 2), consume.Ack, consume.CauseDone)
			c.gets(message("m", 3), consume.Ack, consume.CauseDone)
			c.hasRun(2)
		})
	}
}

func TestF03AnAmbiguousErrorUnderAtMostOnceIsNeverHandledAgain(t *testing.T) {
	t.Parallel()

	c := start(t, nil, func(context.Context, *consume.Message) error { return errBoom })

	c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)

	for n := 2; n < onlyonce.DefaultMaxAttempts; n++ {
		if d := c.gets(message("m", n), consume.Redeliver, consume.CauseUnknown); d.Delay < 30*time.Second {
			t.Errorf("the delay is %v, want that of the rejection", d.Delay)
		}
	}

	c.gets(message("m", onlyonce.DefaultMaxAttempts), consume.DeadLetter, consume.CauseUnknown)
	c.hasRun(1)

	rec, err := c.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "billing", Method: consume.Method("billing", "orders"), Key: "m"})
	if err != nil {
		t.Fatal(err)
	}

	if err := c.engine.Resolve(t.Context(), rec, consume.FindingOf(nil)); err != nil {
		t.Fatal(err)
	}

	c.gets(message("m", 6), consume.Ack, consume.CauseDone) // sent again after an operator has settled it
	c.hasRun(1)
}

func TestF55APoisonMessageRunsMaxAttemptsTimes(t *testing.T) {
	t.Parallel()

	for name, counted := range map[string]int{"deliveries are counted": 1, "deliveries are not counted": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := start(t, nil, func(context.Context, *consume.Message) error { return errBoom },
				consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: 3}))

			c.gets(message("m", 1*counted), consume.Redeliver, consume.CauseFailed)
			c.gets(message("m", 2*counted), consume.Redeliver, consume.CauseFailed)
			c.gets(message("m", 3*counted), consume.DeadLetter, consume.CausePoison)
			c.hasRun(3)
		})
	}
}

func TestF33APanicIsAnErrorOfItsMessage(t *testing.T) {
	t.Parallel()

	for g, later := range map[onlyonce.Guarantee]consume.Cause{
		onlyonce.AtMostOnce: consume.CauseUnknown, onlyonce.AtLeastOnce: consume.CauseFailed,
	} {
		c := start(t, nil, func(context.Context, *consume.Message) error { panic("boom") }, guarantee(g))

		d := c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)

		caught, ok := errors.AsType[*consume.PanicError](d.Err)
		if !ok || caught.Value != "boom" || !strings.Contains(string(caught.Stack), "handler_test.go") {
			t.Errorf("%v: the error is %#v", g, d.Err)
		}

		c.gets(message("m", 2), consume.Redeliver, later)
	}
}

// Such as a handler of a test that calls testing.T.FailNow.
func TestF33AWorkerGoesOnAfterAHandlerThatCallsGoexit(t *testing.T) {
	t.Parallel()

	c := start(t, nil, func(context.Context, *consume.Message) error {
		runtime.Goexit()

		return nil
	})

	d := c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)

	caught, ok := errors.AsType[*consume.PanicError](d.Err)
	if !ok || !strings.Contains(caught.Error(), "runtime.Goexit") || !strings.Contains(string(caught.Stack), "handler_test.go") {
		t.Errorf("the error is %#v", d.Err)
	}

	c.gets(message("m", 2), consume.Redeliver, consume.CauseUnknown)
}

func TestF24AKeyIsNotUsedForOtherContent(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil)
	c.gets(message("m", 1), consume.Ack, consume.CauseDone)

	for name, change := range map[string]func(m *consume.Message){
		"data": func(m *consume.Message) { m.Data = []byte("other") },
		"key":  func(m *consume.Message) { m.Key = []byte("other") },
		"moved from data to key": func(m *consume.Message) {
			m.Key, m.Data = m.Data[:3], m.Data[3:]
		},
	} {
		m := message("m", 1)
		change(m)

		if d := c.gets(m, consume.DeadLetter, consume.CauseReused); !errors.Is(d.Err, onlyonce.ReasonKeyReused) {
			t.Errorf("%s: %+v", name, d)
		}
	}

	m := message("m", 1)
	m.Headers = map[string][]string{"Sent": {"now"}}
	m.Position = "orders/0/7"

	c.gets(m, consume.Ack, consume.CauseDone) // a message that its producer has sent again
	c.hasRun(1)

	for key, action := range map[string]consume.Action{"eu": consume.Ack, "us": consume.DeadLetter} {
		m := message("keyed", 1)
		m.Key = []byte("eu")
		c.gets(m, consume.Ack, consume.CauseDone)

		m.Key = []byte(key)
		if d := c.deliver(t.Context(), m); d.Action != action {
			t.Errorf("the message with the key %q instead of %q: %+v", key, "eu", d)
		}
	}
}

func TestWithContentDecidesWhatAKeyIsBoundTo(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil, consume.WithContent(func(m *consume.Message) []byte { return m.Data[:4] }))
	c.gets(message("m", 1), consume.Ack, consume.CauseDone)

	m := message("m", 1)
	m.Data = []byte("data sent later")
	c.gets(m, consume.Ack, consume.CauseDone)

	m.Data = []byte("DATA")
	c.gets(m, consume.DeadLetter, consume.CauseReused)

	all := start(t, nil, nil, consume.WithContent(func(*consume.Message) []byte { return nil }))
	all.gets(message("m", 1), consume.Ack, consume.CauseDone)
	all.gets(m, consume.Ack, consume.CauseDone)
	all.hasRun(1)
}

func TestF35AMessageWithoutAValidKeyIsADeadLetter(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil)

	for _, id := range []string{"", " ", "ü", "a\x00b", strings.Repeat("x", onlyonce.MaxKeyLength+1)} {
		c.gets(message(id, 1), consume.DeadLetter, consume.CauseKey)
	}

	c.hasRun(0)
}

func TestAnotherConsumerHandlesTheMessageToo(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil)
	c.gets(message("m", 1), consume.Ack, consume.CauseDone)

	shipped := 0

	ship, err := consume.Handler(c.engine, "shipping", consume.ByID, func(context.Context, *consume.Message) error {
		shipped++

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	ship(t.Context(), message("m", 1))
	ship(t.Context(), message("m", 2))

	if shipped != 1 {
		t.Errorf("the other consumer has handled the message %d times", shipped)
	}

	other := message("m", 1)
	other.Source = "refunds"
	c.gets(other, consume.Ack, consume.CauseDone)
	c.hasRun(2)
}

func TestExactlyOnceCommitsTheRowsWithTheRecord(t *testing.T) {
	t.Parallel()

	for _, mode := range []onlyonce.TransactionMode{onlyonce.SingleTransaction, onlyonce.JoinedTransaction} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()

			rows, fail := 0, errBoom
			write := func(ctx context.Context, result error) error {
				if mode == onlyonce.SingleTransaction {
					txstore.Write(ctx, func() { rows++ })

					return result
				}

				return result
			}

			c := start(t, txstore.New(), func(ctx context.Context, _ *consume.Message) error { return write(ctx, fail) },
				consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce, TransactionMode: mode}))

			c.gets(message("m", 1), consume.Redeliver, consume.CauseFailed)

			if rows != 0 {
				t.Errorf("a failed run has left %d rows", rows)
			}

			if mode == onlyonce.JoinedTransaction {
				return // its transactions are tested on databases
			}

			fail = nil

			c.gets(message("m", 2), consume.Ack, consume.CauseDone)
			c.gets(message("m", 3), consume.Ack, consume.CauseDone)

			if rows != 1 {
				t.Errorf("the message has left %d rows", rows)
			}
		})
	}
}

func TestF55WithMaxDeliveriesEndsAMessageThatLeavesNoTrace(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil, consume.WithMaxDeliveries(3), guarantee(onlyonce.AtLeastOnce))

	c.gets(message("poison", 4), consume.DeadLetter, consume.CausePoison)
	c.hasRun(0)

	c.gets(message("done", 3), consume.Ack, consume.CauseDone)
	c.gets(message("done", 4), consume.Ack, consume.CauseDone)
	c.hasRun(1)
}

func TestTheRecoveryFunctionSettlesAnUnknownMessage(t *testing.T) {
	t.Parallel()

	var asked []*consume.Message

	c := start(t, nil, func(context.Context, *consume.Message) error { return errBoom },
		consume.WithPolicy(onlyonce.Policy{KeepRequest: 1 << 10}),
		consume.WithRecover(func(_ context.Context, m *consume.Message, _ onlyonce.Record) (onlyonce.Finding, error) {
			asked = append(asked, m)

			if m.Extend != nil || m.ExtendEvery != 0 {
				t.Error("the recovery function can extend a message")
			}

			return consume.FindingOf(nil), nil
		}))

	sent := message("m", 1)
	sent.Position, sent.Key, sent.Headers = "orders/0/7", []byte("k"), map[string][]string{"A": {"1", "2"}, "B": {""}, "C": nil}

	sent.Extend, sent.ExtendEvery = func(context.Context) error { return nil }, time.Hour

	c.gets(sent, consume.Redeliver, consume.CauseFailed)
	sent.Deliveries++
	c.gets(sent, consume.Ack, consume.CauseDone)

	other := message("other", 1)
	other.Position, other.Key, other.Headers = sent.Position, sent.Key, sent.Headers
	c.gets(other, consume.Redeliver, consume.CauseFailed)

	rec, err := c.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "billing", Method: consume.Method("billing", "orders"), Key: "other"})
	if err != nil {
		t.Fatal(err)
	}

	if found, err := c.engine.Recover(t.Context(), rec); err != nil || found.String() != "happened" {
		t.Fatalf("the finding is %v: %v", found, err)
	}

	kept := asked[len(asked)-1]
	if kept.ID != "other" || kept.Source != "orders" || string(kept.Data) != "data of other" || kept.Position != "orders/0/7" ||
		string(kept.Key) != "k" || len(kept.Headers["A"]) != 2 || kept.Header("A") != "1" || kept.Header("D") != "" {
		t.Errorf("the record keeps %+v", kept)
	}

	c.gets(other, consume.Ack, consume.CauseDone)
	c.hasRun(2)
}
