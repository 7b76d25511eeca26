package consume_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/consume"
)

func TestADeliveryOfAMessageThatIsBeingHandledRunsNothingAndLosesNothing(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil, func(context.Context, *consume.Message) error {
			time.Sleep(time.Minute)

			return nil
		}, consume.WithPolicy(onlyonce.Policy{MaxWait: 5 * time.Second, MaxRun: time.Hour}))

		var group sync.WaitGroup

		group.Go(func() { c.gets(message("m", 1), consume.Ack, consume.CauseDone) })
		time.Sleep(time.Second)

		began := time.Now()
		if d := c.gets(message("m", 2), consume.Redeliver, consume.CauseInProgress); d.Delay <= 0 || time.Since(began) != 5*time.Second {
			t.Errorf("the decision after %v is %+v", time.Since(began), d)
		}

		group.Wait()

		c.gets(message("m", 3), consume.Ack, consume.CauseDone)
		c.hasRun(1)
	})
}

func TestAMessageIsExtendedWhileItIsHandled(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration

		began := time.Now()
		m := message("m", 1)
		m.ExtendEvery = 10 * time.Second
		m.Extend = func(ctx context.Context) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != m.ExtendEvery {
				t.Errorf("the deadline of Extend is %v", deadline)
			}

			calls = append(calls, time.Since(began))

			return errBoom // and the run goes on
		}

		c := start(t, nil, func(context.Context, *consume.Message) error {
			time.Sleep(35 * time.Second)

			return nil
		}, consume.WithPolicy(onlyonce.Policy{MaxRun: time.Hour}))

		// The consumer that stops lets the run end, and keeps its message meanwhile.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(15*time.Second, cancel)

		if d := c.deliver(ctx, m); d.Action != consume.Ack {
			t.Errorf("the decision is %+v", d)
		}

		time.Sleep(time.Minute)

		if len(calls) != 3 || calls[2] != 30*time.Second {
			t.Errorf("the message was extended at %v", calls)
		}
	})
}

func TestAMessageWhoseHandlerHangsIsNotExtendedForEver(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		extended := 0
		m := message("m", 1)
		m.ExtendEvery = time.Second
		m.Extend = func(context.Context) error {
			extended++

			return nil
		}

		c := start(t, nil, func(context.Context, *consume.Message) error {
			time.Sleep(time.Hour) // whatever becomes of its context

			return nil
		}, consume.WithPolicy(onlyonce.Policy{MaxRun: 20 * time.Second, MaxWait: 10 * time.Second, Lease: 15 * time.Second}))

		c.deliver(t.Context(), m)

		if extended < 44 || extended > 45 { // MaxRun, MaxWait and Lease
			t.Errorf("the message was extended %d times", extended)
		}
	})
}

func TestAStoppingConsumerGivesItsMessagesBack(t *testing.T) {
	t.Parallel()

	c := start(t, nil, nil)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if d := c.deliver(ctx, message("m", 1)); d.Action != consume.Redeliver || d.Cause != consume.CauseStopping || d.Delay != 0 {
		t.Errorf("the decision is %+v", d)
	}

	if err := c.engine.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.gets(message("m", 1), consume.Redeliver, consume.CauseStore)
	c.hasRun(0)
}
