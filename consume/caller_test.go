package consume_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

// Otherwise each stop of a large consumer would leave unknown outcomes behind.
func TestF56F65AConsumerThatStopsCancelsNoHandler(t *testing.T) {
	t.Parallel()

	const messages = 20

	engine, err := onlyonce.New(memstore.New(), onlyonce.WithLimits(onlyonce.Limits{MaxDetached: 2}), onlyonce.WithObserver(nil))
	if err != nil {
		t.Fatal(err)
	}

	var running, handled sync.WaitGroup

	running.Add(messages)

	stopped := make(chan struct{})

	deliver, err := consume.Handler(engine, "billing", consume.ByID, func(ctx context.Context, _ *consume.Message) error {
		running.Done()
		<-stopped

		return context.Cause(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())

	for n := range messages {
		handled.Go(func() {
			if d := deliver(ctx, message(strconv.Itoa(n), 1)); d.Action != consume.Ack {
				t.Errorf("message %d: %v, %v", n, d.Action, d.Err)
			}
		})
	}

	running.Wait()
	stop()
	close(stopped)
	handled.Wait()

	// A message that comes after the stop does not run.
	if d := deliver(ctx, message("late", 1)); d.Action != consume.Redeliver || d.Cause != consume.CauseStopping {
		t.Errorf("a message after the stop: %v, %v", d.Action, d.Cause)
	}
}
