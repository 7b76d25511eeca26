//go:build unix

package oncerabbit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/consume/rabbitmq/internal/rabbittest"
)

// The server ends the consumer of a run that is too long for it, and delivers the message again. The run goes on.
func TestARunThatIsLongerThanTheConsumerTimeoutActsOnce(t *testing.T) {
	t.Parallel()

	s, err := rabbittest.Start(t.TempDir(), "consumer_timeout 1000", "channel_tick_interval 200")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.Stop)

	b := newBrokerAt(t, s.URL())

	var (
		done  effects
		seen  reports
		ended atomic.Int64
	)

	running, finish := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(running) })

	start(t, b.consumer(handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		once()
		<-finish
		done.add(m.ID)

		return nil
	}), oncerabbit.WithReport(func(ctx context.Context, r oncerabbit.Report) {
		if r.Message == nil {
			ended.Add(1)
		}

		seen.add(ctx, r)
	})), (&network{url: b.url}).dial)

	b.publish("a", "1")
	<-running

	seen.wait(t, "finding it in progress", func(r oncerabbit.Report) bool {
		return r.Decision.Action == consume.Redeliver && r.Decision.Cause == consume.CauseInProgress && r.Message.Deliveries != 1
	})

	if ended.Load() == 0 {
		t.Error("no end of the consumer is reported")
	}

	close(finish)
	seen.wait(t, "the replay", replayed)
	b.waitTaken(b.queue)
	done.check(t, "a")
}
