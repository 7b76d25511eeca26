//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
	"github.com/onlyonce-go/onlyonce/store"
)

const (
	topic = "orders"
	dead  = "orders.dead"
	group = "billing"
)

// broker is a cluster in this process, and a client of the test.
type broker struct {
	t       *testing.T
	cluster *kfake.Cluster
	client  *kgo.Client
}

func newBroker(t *testing.T, partitions int32) *broker {
	t.Helper()

	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second),
		kfake.SeedTopics(partitions, topic), kfake.SeedTopics(1, dead))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(cluster.Close)

	b := &broker{t: t, cluster: cluster}

	b.client, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(b.client.Close)

	return b
}

// produce appends records to a partition. Their ids are their values.
func (b *broker) produce(partition int32, values ...string) {
	b.t.Helper()

	for _, value := range values {
		r := &kgo.Record{
			Topic: topic, Partition: partition, Key: []byte("k"), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "message-id", Value: []byte(value)}},
		}
		if err := b.client.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// options are those of a member.
func (b *broker) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.FetchMaxWait(50 * time.Millisecond), kgo.AutoCommitInterval(100 * time.Millisecond),
		kgo.HeartbeatInterval(100 * time.Millisecond), kgo.RebalanceTimeout(2 * servertest.Patience),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
}

func (b *broker) consumer(h oncekafka.Handler, opts ...oncekafka.Option) *oncekafka.Consumer {
	b.t.Helper()

	c, err := oncekafka.New(h, dead, b.options(), append([]oncekafka.Option{oncekafka.WithIDHeader("message-id")}, opts...)...)
	if err != nil {
		b.t.Fatal(err)
	}

	return c
}

// waitDead returns the dead letters when there are as many as wanted.
func (b *broker) waitDead(want int) (all []*kgo.Record) {
	b.t.Helper()

	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics(dead),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(b.t.Context(), servertest.Patience)
	defer cancel()

	for len(all) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.t.Fatalf("%d dead letters, want %d: %v", len(all), want, err)
		}

		all = append(all, fetches.Records()...)
	}

	return all
}

// waitCommitted waits until the group has committed an offset.
func (b *broker) waitCommitted(partition int32, want int64) {
	b.t.Helper()

	servertest.Wait(b.t, "committing", func() error {
		got, err := b.committed(partition)
		if err == nil && got != want {
			err = fmt.Errorf("%d is committed, want %d", got, want)
		}

		return err
	})
}

// expelAll removes the members of the group, which have died, so that the group does not wait for them.
func (b *broker) expelAll() {
	b.t.Helper()

	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{group}

	described, err := describe.RequestWith(b.t.Context(), b.client)
	if err != nil {
		b.t.Fatal(err)
	}

	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = group

	for _, g := range described.Groups {
		for _, dead := range g.Members {
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = dead.MemberID
			leave.Members = append(leave.Members, member)
		}
	}

	if _, err := leave.RequestWith(b.t.Context(), b.client); err != nil {
		b.t.Fatal(err)
	}
}

// start runs a consumer until the test ends or stop is called.
func start(t *testing.T, c *oncekafka.Consumer) (stop func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)

		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
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

// soon is a backoff that costs tests no time.
func soon(int) time.Duration { return 20 * time.Millisecond }

func handler(
	t *testing.T, e *onlyonce.Engine, key consume.KeyFunc, handle func(ctx context.Context, m *consume.Message) error,
) oncekafka.Handler {
	t.Helper()

	h, err := consume.Handler(e, "test", key, handle, consume.WithBackoff(soon))
	if err != nil {
		t.Fatal(err)
	}

	return h
}

// reports collects what consumers report about messages.
type reports struct {
	mu  sync.Mutex
	all []oncekafka.Report
}

func (r *reports) add(_ context.Context, report oncekafka.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if report.Message != nil {
		r.all = append(r.all, report)
	}
}

// wait waits for a report that fulfils a condition.
func (r *reports) wait(t *testing.T, what string, is func(oncekafka.Report) bool) {
	t.Helper()

	servertest.Wait(t, what, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()

		if !slices.ContainsFunc(r.all, is) {
			return errors.New("not reported")
		}

		return nil
	})
}

func replayed(r oncekafka.Report) bool { return r.Decision.Replayed }

// effects are what has happened, in order.
type effects struct {
	mu  sync.Mutex
	all []string
}

func (e *effects) add(value string) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.all = append(e.all, value)
}

func (e *effects) check(t *testing.T, want ...string) {
	t.Helper()

	e.mu.Lock()
	defer e.mu.Unlock()

	if !slices.Equal(e.all, want) {
		t.Errorf("the effects are %q, want %q", e.all, want)
	}
}

// checkAnyOrder is check of messages of several partitions.
func (e *effects) checkAnyOrder(t *testing.T, want ...string) {
	t.Helper()

	e.mu.Lock()
	slices.Sort(e.all)
	e.mu.Unlock()

	slices.Sort(want)
	e.check(t, want...)
}
