//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func TestRecordsAreHandledInOrderAndCommittedWhenTheyAreDone(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	var (
		done effects
		seen reports
	)

	gate := make(chan struct{})
	h := handler(t, engine(t, memstore.New(), onlyonce.Policy{}), consume.ByPosition, func(_ context.Context, m *consume.Message) error {
		if m.ID == "b" {
			<-gate
		}

		done.add(m.Position + " " + m.ID)

		return nil
	})

	stop := start(t, b.consumer(h, oncekafka.WithReport(seen.add)))

	b.produce(0, "a", "b", "c")
	b.waitCommitted(0, 1) // and not more while b is being handled
	close(gate)
	b.waitCommitted(0, 3)
	stop()
	done.check(t, "orders/0/0 a", "orders/0/1 b", "orders/0/2 c")
}

// A record that has to wait holds up its partition, and no other.
func TestARecordThatWaitsHoldsUpItsPartitionAlone(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 2)

	var (
		done effects
		seen reports
	)

	open := make(chan struct{})
	isOpen := func() bool {
		select {
		case <-open:
			return true
		default:
			return false
		}
	}

	c := b.consumer(func(_ context.Context, m *consume.Message) consume.Decision {
		if m.ID == "held" && !isOpen() {
			return consume.Decision{Action: consume.Redeliver, Delay: 10 * time.Millisecond}
		}

		done.add(m.ID)

		return consume.Decision{Action: consume.Ack}
	}, oncekafka.WithReport(seen.add), oncekafka.WithBacklog(1))

	b.produce(0, "held", "behind 1", "behind 2", "behind 3")
	start(t, c)
	seen.wait(t, "trying again", func(r oncekafka.Report) bool { return r.Message.ID == "held" && r.Message.Deliveries == 3 })

	for i := range 20 {
		b.produce(1, fmt.Sprint("other ", i))
	}

	b.waitCommitted(1, 20)

	if at, err := b.committed(0); err != nil || at > 0 {
		t.Errorf("the offset %d is committed, %v", at, err)
	}

	close(open)
	b.produce(0, "behind 4")
	b.waitCommitted(0, 5)

	var held []string

	for _, value := range done.all {
		if !strings.HasPrefix(value, "other") {
			held = append(held, value)
		}
	}

	done.all = held
	done.check(t, "held", "behind 1", "behind 2", "behind 3", "behind 4")
}

func TestAPoisonMessageBecomesADeadLetterAfterItsAttempts(t *testing.T) {
	t.Parallel()

	const attempts = 3

	b := newBroker(t, 1)

	var done effects

	h := handler(t, engine(t, memstore.New(), onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, MaxAttempts: attempts}), consume.ByID,
		func(_ context.Context, m *consume.Message) error {
			done.add(m.ID)

			if m.ID == "bad" {
				return errors.New("cannot be handled")
			}

			return nil
		})

	start(t, b.consumer(h))
	b.produce(0, "bad", "good")

	letter := b.waitDead(1)[0]
	b.waitCommitted(0, 2)
	done.check(t, "bad", "bad", "bad", "good")

	if string(letter.Value) != "bad" || string(letter.Key) != "k" {
		t.Errorf("the dead letter is %q, %q", letter.Key, letter.Value)
	}

	got := make(map[string]string)
	for _, h := range letter.Headers {
		got[h.Key] = string(h.Value)
	}

	for name, want := range map[string]string{
		"message-id": "bad", consume.HeaderCause: string(consume.CausePoison), consume.HeaderError: "cannot be handled",
		consume.HeaderSource: topic, consume.HeaderPosition: "orders/0/0",
	} {
		if got[name] != want {
			t.Errorf("the header %s is %q, want %q", name, got[name], want)
		}
	}
}

// A topic that is made again has other records at the same positions.
func TestF24APositionOfARecreatedTopicIsNotTakenForAnOldOne(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		key     consume.KeyFunc
		effects []string
		dead    int
	}{
		"a position belongs to the old record": {consume.ByPosition, []string{"old"}, 1},
		"an id does not":                       {consume.ByID, []string{"old", "new"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			st := memstore.New()

			var done effects

			for _, value := range []string{"old", "new"} {
				b := newBroker(t, 1) // its topic begins at offset 0

				stop := start(t, b.consumer(handler(t, engine(t, st, onlyonce.Policy{}), tt.key,
					func(_ context.Context, m *consume.Message) error {
						done.add(m.ID)

						return nil
					})))

				b.produce(0, value)
				b.waitCommitted(0, 1)
				stop()

				if value == "new" && tt.dead > 0 {
					b.waitDead(tt.dead)
				}
			}

			done.check(t, tt.effects...)
		})
	}
}

// A producer that sends a record twice makes two positions of one id.
func TestAnIDRecognisesARecordThatWasSentTwice(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	var (
		done effects
		seen reports
	)

	h := handler(t, engine(t, memstore.New(), onlyonce.Policy{}), consume.ByID, func(_ context.Context, m *consume.Message) error {
		done.add(m.ID)

		return nil
	})

	start(t, b.consumer(h, oncekafka.WithReport(seen.add)))

	b.produce(0, "a", "a")
	seen.wait(t, "the replay", replayed)
	b.waitCommitted(0, 2)
	done.check(t, "a")
}

func TestADeadLetterThatIsRefusedIsNotCommitted(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	var seen reports

	c, err := oncekafka.New(func(context.Context, *consume.Message) consume.Decision {
		return consume.Decision{Action: consume.DeadLetter, Cause: consume.CauseKey}
	}, "not there", append(b.options(), kgo.UnknownTopicRetries(0)), oncekafka.WithReport(seen.add))
	if err != nil {
		t.Fatal(err)
	}

	stop := start(t, c)

	b.produce(0, "a")
	seen.wait(t, "the refusal", func(r oncekafka.Report) bool { return r.Err != nil })
	stop()

	if at, err := b.committed(0); err != nil || at > 0 {
		t.Errorf("the offset %d is committed, %v", at, err)
	}
}

func TestRunReturnsWhenItsHandlersHaveReturnedAndCommitsThem(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	entered, finish := make(chan struct{}), make(chan struct{})

	stop := start(t, b.consumer(func(context.Context, *consume.Message) consume.Decision {
		close(entered)
		<-finish

		return consume.Decision{Action: consume.Ack}
	}, oncekafka.WithRevokeWait(servertest.Patience)))

	b.produce(0, "a", "b")
	<-entered

	stopped := make(chan struct{})

	go func() {
		defer close(stopped)

		stop()
	}()

	select {
	case <-stopped:
		t.Error("Run has returned before its handler")
	case <-time.After(50 * time.Millisecond): // if the machine is slow, the test finds less
	}

	close(finish)
	<-stopped
	b.waitCommitted(0, 1)
}

// The group would take the member for dead while it waits for a record.
func TestRunRefusesARevokeWaitThatIsNotShorterThanTheRebalanceTimeout(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	for _, wait := range []time.Duration{oncekafka.DefaultRevokeWait, oncekafka.DefaultRevokeWait - 1} {
		c, err := oncekafka.New(func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }, dead,
			append(b.options(), kgo.RebalanceTimeout(oncekafka.DefaultRevokeWait)), oncekafka.WithRevokeWait(wait))
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a consumer that is not refused ends at once

		if err := c.Run(ctx); errors.Is(err, oncekafka.ErrRevokeWait) != (wait == oncekafka.DefaultRevokeWait) {
			t.Errorf("with %v, Run returns %v", wait, err)
		}
	}
}

func TestAConsumerThatCannotWorkIsNotMade(t *testing.T) {
	t.Parallel()

	_, err := oncekafka.New(nil, "", []kgo.Opt{kgo.SeedBrokers("a:b:c")}, oncekafka.WithBacklog(0), oncekafka.WithRevokeWait(-1))
	for _, want := range []string{"handler", "dead letters", "WithBacklog", "WithRevokeWait", "options of the client"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestConsumerWithoutTopicsIsRefused(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	for name, opts := range map[string][]kgo.Opt{"none": nil, "no expression": {kgo.ConsumeRegex()}} {
		c, err := oncekafka.New(func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }, dead,
			append([]kgo.Opt{kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumerGroup(group)}, opts...))
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := c.Run(ctx); !errors.Is(err, oncekafka.ErrNoTopics) {
			t.Errorf("%s: Run returns %v", name, err)
		}

		cancel()
	}
}
