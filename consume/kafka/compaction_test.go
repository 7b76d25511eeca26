//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Compaction removes the older records of a key. The offsets of the others stay, so there are gaps, also where the group has committed.
func TestAGroupOfACompactedTopicGoesOnBehindTheGaps(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	st := memstore.New()

	if err := errors.Join(
		b.cluster.DeleteTopic(topic), b.cluster.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact"}),
	); err != nil {
		t.Fatal(err)
	}

	var done effects

	consumer := func(opts ...oncekafka.Option) *oncekafka.Consumer {
		h := handler(t, engine(t, st, onlyonce.Policy{}), consume.ByPosition, func(_ context.Context, m *consume.Message) error {
			done.add(m.Position + "=" + string(m.Data))

			return nil
		})

		return b.consumer(h, opts...)
	}

	b.keyed("a", "1")
	b.keyed("b", "1")

	stop := start(t, consumer())

	b.waitCommitted(0, 2)
	stop()

	// The records at 0, 1, 2 and 4 go. The group has committed 2.
	b.keyed("c", "1")
	b.keyed("a", "2")
	b.keyed("c", "2")
	b.keyed("b", "") // a tombstone
	b.keyed("c", "3")
	b.keyed("d", "1") // in the segment that is not compacted
	b.cluster.Compact()

	var seen reports

	start(t, consumer(oncekafka.WithReport(seen.add)))
	b.waitCommitted(0, 8)
	done.check(t, "orders/0/0=1", "orders/0/1=1", "orders/0/3=2", "orders/0/5=", "orders/0/6=3", "orders/0/7=1")

	for _, r := range seen.all {
		if r.Decision.Cause != consume.CauseDone || r.Decision.Replayed {
			t.Errorf("%s: %+v", r.Message.Position, r.Decision)
		}
	}
}

// keyed appends a record with a key. Without a value, it is a tombstone.
func (b *broker) keyed(key, value string) {
	b.t.Helper()

	r := &kgo.Record{Topic: topic, Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}

	if err := b.client.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}
