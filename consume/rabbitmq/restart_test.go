//go:build unix

package oncerabbit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/consume/rabbitmq/internal/rabbittest"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestMessagesActOnceAcrossARestartOfTheServer(t *testing.T) { //nolint:paralleltest // it takes the server away
	t.Run("classic queue", func(t *testing.T) { //nolint:paralleltest // as above
		b := newBroker(t)
		b.queue += ".classic"
		b.declare(b.queue, nil)

		// RabbitMQ writes a declaration to the disk some time later. After a SIGKILL the queue may be gone, with confirmed messages.
		if err := errors.Join(server(t).ShutDown(), server(t).Restart()); err != nil {
			t.Fatal(err)
		}

		b.connect()
		b.restart(func(s *rabbittest.Server) error { s.Kill(); return nil }, func(deliveries int) bool { return deliveries == 0 }) // unknown
	})

	t.Run("quorum queue", func(t *testing.T) { //nolint:paralleltest // as above
		// RabbitMQ 3.10 without other nodes finds no leader for the queue after a SIGKILL, if the queue had a consumer.
		newBroker(t).restart((*rabbittest.Server).ShutDown, func(deliveries int) bool { return deliveries > 1 })
	})
}

// restart ends the server while it waits for acknowledgements, and boots it again. Again reports whether a number of deliveries is that of
// a redelivery.
func (b *broker) restart(end func(*rabbittest.Server) error, again func(deliveries int) bool) {
	const prefetch = 5

	t := b.t
	t.Helper()

	net := &network{url: b.url}

	var (
		done effects
		seen reports
	)

	ids := make([]string, 0, 2*prefetch)

	h := handler(t, engine(t, memory(), onlyonce.Policy{}), func(_ context.Context, m *consume.Message) error {
		done.add(m.ID)

		return nil
	})

	var (
		handled sync.WaitGroup
		begun   atomic.Int64
	)

	handled.Add(prefetch)

	down := make(chan struct{})

	start(t, b.consumer(func(ctx context.Context, m *consume.Message) consume.Decision {
		decision := h(ctx, m)

		// The first messages have acted, and their acknowledgements come too late.
		if begun.Add(1) <= prefetch {
			handled.Done()
			<-down
		}

		return decision
	}, oncerabbit.WithPrefetch(prefetch), oncerabbit.WithReport(seen.add)), net.dial)

	for i := range 2 * prefetch {
		ids = append(ids, fmt.Sprint("m", i))
		b.publish(ids[i], ids[i])
	}

	handled.Wait()

	err := end(server(t))

	close(down)

	if err := errors.Join(err, server(t).Restart()); err != nil {
		t.Fatal(err)
	}

	servertest.Wait(t, "handling all", func() error {
		if n := seen.count(func(r oncerabbit.Report) bool { return r.Decision.Action == consume.Ack && r.Err == nil }); n < len(ids) {
			return fmt.Errorf("%d messages are acknowledged; the last connection: %w", n, seen.failure())
		}

		return nil
	})

	if n := seen.count(replayed); n < prefetch {
		t.Errorf("%d replays, want %d", n, prefetch)
	}

	if n := seen.count(func(r oncerabbit.Report) bool { return replayed(r) && !again(r.Message.Deliveries) }); n > 0 {
		t.Errorf("%d redeliveries have another number", n)
	}

	b.connect()
	b.waitTaken(b.queue)
	done.check(t, ids...)
}
