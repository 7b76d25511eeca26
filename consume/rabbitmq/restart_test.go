//go:build unix

package oncerabbit_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	oncerabbit "github.com/onlyonce-go/onlyonce/consume/rabbitmq"
	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestMessagesActOnceAcrossARestartOfTheServer(t *testing.T) { //nolint:paralleltest // it takes the server away
	const prefetch = 5

	b := newBroker(t)
	b.queue += ".classic"
	b.declare(b.queue, nil)

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
	server(t).Kill()
	close(down)

	if err := server(t).Restart(); err != nil {
		t.Fatal(err)
	}

	servertest.Wait(t, "handling all", func() error {
		if n := seen.count(func(r oncerabbit.Report) bool { return r.Decision.Action == consume.Ack && r.Err == nil }); n < len(ids) {
			return fmt.Errorf("%d messages are acknowledged", n)
		}

		return nil
	})

	if n := seen.count(replayed); n < prefetch {
		t.Errorf("%d replays, want %d", n, prefetch)
	}

	b.connect()
	b.waitEmpty(b.queue)
	done.check(t, ids...)
}
