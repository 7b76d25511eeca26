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

func TestAConsumerThatStopsCancelsAnAttachedHandler(t *testing.T) {
	t.Parallel()

	begun := make(chan struct{})

	c := start(t, nil, func(ctx context.Context, _ *consume.Message) error {
		close(begun)
		<-ctx.Done()

		return onlyonce.NotExecuted(context.Cause(ctx))
	}, consume.WithPolicy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached}))

	ctx, stop := context.WithCancel(t.Context())

	var stopping sync.WaitGroup

	stopping.Go(func() {
		<-begun
		stop()
	})

	if d := c.deliver(ctx, message("m", 1)); d.Action != consume.Redeliver {
		t.Errorf("%v, %v, %v", d.Action, d.Cause, d.Err)
	}

	stopping.Wait()
}
