//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
)

// buried is a handler that makes every record a dead letter, and counts.
func buried(calls *atomic.Int64) oncekafka.Handler {
	return func(context.Context, *consume.Message) consume.Decision {
		calls.Add(1)

		return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison}
	}
}

// refuseOnce lets the cluster refuse the next record that is produced.
func (b *broker) refuseOnce() {
	b.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		response := kmsg.NewPtrProduceResponse()
		response.Version = request.GetVersion()

		produce, ok := request.(*kmsg.ProduceRequest)
		if !ok {
			return nil, errors.New("the request is another one"), true
		}

		for _, topic := range produce.Topics {
			refused := kmsg.NewProduceResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID

			for _, partition := range topic.Partitions {
				at := kmsg.NewProduceResponseTopicPartition()
				at.Partition, at.ErrorCode = partition.Partition, kerr.PolicyViolation.Code
				refused.Partitions = append(refused.Partitions, at)
			}

			response.Topics = append(response.Topics, refused)
		}

		return response, nil, true
	})
}

func TestADeadLetterThatIsRefusedIsProducedAgainAndNotHandledAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	var (
		calls atomic.Int64
		seen  reports
	)

	b.produce(0, "a")
	b.refuseOnce()
	start(t, b.consumer(buried(&calls), oncekafka.WithRetry(soon(1)), oncekafka.WithReport(seen.add)))
	seen.wait(t, "the refusal", func(r oncekafka.Report) bool { return errors.Is(r.Err, kerr.PolicyViolation) })
	b.waitDead(1)
	b.waitCommitted(0, 1)

	if n := calls.Load(); n != 1 {
		t.Errorf("the handler was called %d times", n)
	}
}

// A record that cannot be a dead letter would hold up its partition for ever.
func TestADeadLetterThatIsTooLargeHasFewerHeaders(t *testing.T) {
	t.Parallel()

	const most = 4 << 10

	own := []string{"message-id"}
	short := append(slices.Clone(own), consume.HeaderCause, consume.HeaderPosition, consume.HeaderSource)

	for name, tt := range map[string]struct {
		size int
		want []string
	}{
		"all that fit":      {1000, append(slices.Clone(short), consume.HeaderError)},
		"without the error": {most - 600, short},
		"its own alone":     {most - 120, own},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b := newBroker(t, 1)
			r := &kgo.Record{Topic: topic, Value: make([]byte, tt.size), Headers: []kgo.RecordHeader{{Key: "message-id", Value: []byte("a")}}}

			if err := b.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}

			handle := func(context.Context, *consume.Message) consume.Decision {
				err := errors.New(strings.Repeat("e", 1000))

				return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison, Err: err}
			}

			c, err := oncekafka.New(handle, dead, append(b.options(), kgo.ProducerBatchMaxBytes(most)))
			if err != nil {
				t.Fatal(err)
			}

			start(t, c)

			letter := b.waitDead(1)[0]
			b.waitCommitted(0, 1)

			names := make([]string, len(letter.Headers))
			for i, h := range letter.Headers {
				names[i] = h.Key
			}

			slices.Sort(names)

			if !slices.Equal(names, slices.Sorted(slices.Values(tt.want))) || len(letter.Value) != tt.size {
				t.Errorf("the dead letter has %d bytes and the headers %v, want %d and %v", len(letter.Value), names, tt.size, tt.want)
			}
		})
	}
}

// The handler has decided, and the member leaves.
func TestADeadLetterOfAPartitionThatGoesIsProducedBefore(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	entered := make(chan struct{})

	var seen reports

	stop := start(t, b.consumer(func(ctx context.Context, _ *consume.Message) consume.Decision {
		close(entered)
		<-ctx.Done()

		return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison}
	}, oncekafka.WithRevokeWait(time.Minute), oncekafka.WithReport(seen.add)))

	b.produce(0, "a")
	<-entered
	stop()

	if last := seen.all[len(seen.all)-1]; last.Err != nil {
		t.Fatalf("the dead letter is not produced: %v", last.Err)
	}

	b.waitDead(1)
	b.waitCommitted(0, 1)
}

// A dead letter that is consumed would be a dead letter again, and so on.
func TestAConsumerDoesNotConsumeItsOwnDeadLetters(t *testing.T) {
	t.Parallel()

	t.Run("named", func(t *testing.T) {
		t.Parallel()

		b := newBroker(t, 1)

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()

		c, err := oncekafka.New(func(context.Context, *consume.Message) consume.Decision {
			cancel() // it consumes its dead letter

			return consume.Decision{Action: consume.Ack}
		}, dead, append(b.options(), kgo.ConsumeTopics(topic, dead)))
		if err != nil {
			t.Fatal(err)
		}

		letter := &kgo.Record{Topic: dead, Value: []byte("a")}
		if err := b.client.ProduceSync(ctx, letter).FirstErr(); err != nil {
			t.Fatal(err)
		}

		if err := c.Run(ctx); !errors.Is(err, oncekafka.ErrOwnDeadLetters) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a topic with a similar name is another one", func(t *testing.T) {
		t.Parallel()

		for name, want := range map[string]bool{dead: true, "orders-dead": false, "all.orders.dead": false, "orders.dead.2": false} {
			if got := regexp.MustCompile(oncekafka.Only(dead)).MatchString(name); got != want {
				t.Errorf("%s is left out: %v", name, got)
			}
		}
	})

	t.Run("by a regular expression", func(t *testing.T) {
		t.Parallel()

		b := newBroker(t, 1)

		var seen reports

		c, err := oncekafka.New(func(_ context.Context, m *consume.Message) consume.Decision {
			if m.ID == "last" {
				return consume.Decision{Action: consume.Ack}
			}

			return consume.Decision{Action: consume.DeadLetter, Cause: consume.CausePoison}
		}, dead, append(b.options(), kgo.ConsumeRegex()), oncekafka.WithIDHeader("message-id"), oncekafka.WithReport(seen.add))
		if err != nil {
			t.Fatal(err)
		}

		start(t, c)
		b.produce(0, "first")
		b.waitDead(1)
		b.produce(0, "last")
		seen.wait(t, "the last", func(r oncekafka.Report) bool { return r.Message.ID == "last" })

		if n := len(b.waitDead(1)); n != 1 {
			t.Errorf("%d dead letters", n)
		}

		seen.mu.Lock()
		defer seen.mu.Unlock()

		for _, r := range seen.all {
			if r.Message.Source != topic {
				t.Errorf("consumed %s", r.Message.Position)
			}
		}
	})
}

// The cluster answers no dead letter, so the one that is being produced would be produced for ever.
func TestRunReturnsAlthoughADeadLetterCannotBeProduced(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	b.produce(0, "a")

	var once sync.Once

	producing := make(chan struct{})

	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		once.Do(func() { close(producing) })

		return nil, errors.New("the connection breaks"), true
	})

	var (
		calls atomic.Int64
		seen  reports
	)

	stop := start(t, b.consumer(buried(&calls), oncekafka.WithRevokeWait(0), oncekafka.WithReport(seen.add)))
	<-producing
	stop()

	if last := seen.all[len(seen.all)-1]; last.Err == nil {
		t.Errorf("the dead letter is reported as %+v", last)
	}

	if at, err := b.committed(0); err != nil || at != -1 {
		t.Errorf("%d is committed, want nothing: %v", at, err)
	}
}

func TestOptionsThatLoseDeadLettersAreRefused(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)

	for name, opts := range map[string][]kgo.Opt{
		"transactions":      {kgo.TransactionalID("orders")},
		"flushing by hand":  {kgo.ManualFlushing()},
		"another topic":     {kgo.DefaultProduceTopic("other"), kgo.DefaultProduceTopicAlways()},
		"no acknowledgment": {kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()},
	} {
		c, err := oncekafka.New(func(context.Context, *consume.Message) consume.Decision { return consume.Decision{} }, dead,
			append(b.options(), opts...))
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := c.Run(ctx); !errors.Is(err, oncekafka.ErrDeadLetterOption) {
			t.Errorf("%s: Run returns %v", name, err)
		}

		cancel()
	}
}
