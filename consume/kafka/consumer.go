package oncekafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onlyonce-go/onlyonce/consume"
)

// Handler handles a message and returns what to do with it. consume.Handler makes one.
type Handler = func(ctx context.Context, m *consume.Message) consume.Decision

// Consumer is a member of a consumer group.
type Consumer struct {
	handle      Handler
	deadLetters string // a topic
	client      []kgo.Opt
	idHeader    string
	backlog     int
	revokeWait  time.Duration
	retry       time.Duration // after which a dead letter that was refused is produced again
	report      func(ctx context.Context, r Report)
}

// New returns a consumer. The options of the client name at least the brokers, the group and the topics. The consumer sets how offsets
// are committed and what happens in a rebalance; options for these have no effect or are refused, except kgo.AutoCommitInterval, which is
// 5 seconds by default.
//
// Dead letters are produced to the topic deadLetters, with acknowledgement of all replicas in sync, if the options do not say otherwise.
// A dead letter has the key, the value and the headers of its record, and those of consume.Decision.DeadLetterHeaders. If it is too large,
// it has fewer of the latter. A record may become a dead letter twice. A dead letter that Kafka refuses is produced again, and its
// partition waits: see [WithReport]. If the topics are regular expressions, the topic for dead letters is left out.
//
// New fails if something is missing or out of range, and reports every problem at once.
func New(handle Handler, deadLetters string, client []kgo.Opt, opts ...Option) (*Consumer, error) {
	c := &Consumer{
		handle: handle, deadLetters: deadLetters, client: client,
		backlog: DefaultBacklog, revokeWait: DefaultRevokeWait, retry: deadLetterDelay, report: logReport,
	}

	for _, opt := range opts {
		opt(c)
	}

	if c.report == nil {
		c.report = logReport
	}

	if err := c.validate(); err != nil {
		return nil, err
	}

	c.exclude()

	return c, nil
}

// exclude leaves the topic for dead letters out of a regular expression of topics. Otherwise each dead letter would be consumed, and be
// a dead letter again.
func (c *Consumer) exclude() {
	excluding := kgo.ConsumeExcludeTopics(only(c.deadLetters))

	// The option is valid with regular expressions only.
	if kgo.ValidateOpts(append(c.options(nil), excluding)...) == nil {
		c.client = append(append([]kgo.Opt(nil), c.client...), excluding)
	}
}

// only returns a regular expression that matches one topic.
func only(topic string) string { return "^" + regexp.QuoteMeta(topic) + "$" }

// options are those of the client, with our own after them, because the last one of a kind counts.
func (c *Consumer) options(m *member) []kgo.Opt {
	return append(append([]kgo.Opt(nil), c.client...),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitCallback(func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			m.committed(resp, err)
		}),
		// A record that was polled is in its partition's hands before the partition can go.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, all map[string][]int32) { m.assigned(cl, all) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, all map[string][]int32) { m.revoked(ctx, cl, all) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { m.lost(all) }),
	)
}

// The errors of [Consumer.Run] about options of the client. Only a client can read them, so New cannot return these errors.
var (
	// ErrNoTopics means that the options of the client name no topic. The consumer would wait without work.
	ErrNoTopics = errors.New("oncekafka: there are no topics to consume: give kgo.ConsumeTopics among the options of the client")
	// ErrOwnDeadLetters means that the consumer consumes the topic for its own dead letters.
	ErrOwnDeadLetters = errors.New("oncekafka: the consumer consumes its own dead letters: name another topic for them")
	// ErrRevokeWait means that WithRevokeWait is not shorter than kgo.RebalanceTimeout. The group would take the member for dead while it
	// waits.
	ErrRevokeWait = errors.New("oncekafka: WithRevokeWait is not shorter than kgo.RebalanceTimeout: give a shorter wait or a longer timeout")
	// ErrDeadLetterOption means that an option of the client would lose dead letters, or never produce them.
	ErrDeadLetterOption = errors.New("oncekafka: with this option of the client, dead letters would be lost or never produced: leave it out")
)

// check reports options of the client that do not fit the consumer.
func (c *Consumer) check(client *kgo.Client) error {
	topics, _ := client.OptValue(kgo.ConsumeTopics).([]string)
	if len(topics) == 0 {
		return ErrNoTopics
	}

	if regex, _ := client.OptValue(kgo.ConsumeRegex).(bool); !regex && slices.Contains(topics, c.deadLetters) {
		return ErrOwnDeadLetters
	}

	if timeout, ok := client.OptValue(kgo.RebalanceTimeout).(time.Duration); ok && c.revokeWait >= timeout {
		return fmt.Errorf("%w: they are %v and %v", ErrRevokeWait, c.revokeWait, timeout)
	}

	return checkProducing(client)
}

// checkProducing reports options that keep the client from producing a dead letter to the topic for dead letters, or from waiting until
// Kafka has stored it.
func checkProducing(client *kgo.Client) error {
	for _, option := range []struct {
		name  string
		value any
		harms any
	}{
		{"kgo.ManualFlushing", client.OptValue(kgo.ManualFlushing), true},
		{"kgo.DefaultProduceTopicAlways", client.OptValue(kgo.DefaultProduceTopicAlways), true},
		{"kgo.RequiredAcks(kgo.NoAck())", client.OptValue(kgo.RequiredAcks), kgo.NoAck()},
	} {
		if option.value == option.harms {
			return fmt.Errorf("%w: %s", ErrDeadLetterOption, option.name)
		}
	}

	if id, _ := client.OptValue(kgo.TransactionalID).(string); id != "" {
		return fmt.Errorf("%w: kgo.TransactionalID(%q)", ErrDeadLetterOption, id)
	}

	return nil
}

// Run joins the group, handles records until ctx ends, commits, leaves the group, and returns the cause of the end of ctx. A broker that
// cannot be reached is tried again: see [WithReport]. Run returns at once with [ErrNoTopics], [ErrOwnDeadLetters], [ErrRevokeWait] or
// [ErrDeadLetterOption].
//
// Run returns when all handlers that it has called have returned. After ctx has ended it begins no more records. Stop the handlers with
// onlyonce.Engine.Drain. Run may be called several times, also at the same time: each call is a member of the group.
func (c *Consumer) Run(ctx context.Context) error {
	m := newMember(ctx, c)
	defer m.working.Wait()

	client, err := kgo.NewClient(c.options(m)...)
	if err != nil {
		return fmt.Errorf("oncekafka: making a client: %w", err)
	}

	if err := c.check(client); err != nil {
		client.Close()

		return err
	}

	for ctx.Err() == nil {
		m.poll(ctx, client)
	}

	// Partitions are revoked here: what is being handled is waited for, and committed.
	client.CloseAllowingRebalance()

	return context.Cause(ctx)
}

// mostPolled bounds the records of one poll.
const mostPolled = 10000

// poll hands the next records to their partitions.
func (m *member) poll(ctx context.Context, client *kgo.Client) {
	fetches := client.PollRecords(ctx, mostPolled)
	defer client.AllowRebalance()

	fetches.EachError(func(_ string, _ int32, err error) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			m.report(ctx, Report{Err: err})
		}
	})

	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			m.hand(client, p.Records)
		}
	})
}
