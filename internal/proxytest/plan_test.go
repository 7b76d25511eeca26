//go:build unix

package proxytest

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

func TestWhatComesInOneGoIsOneRoundTrip(t *testing.T) {
	plan, s := setUp(t)
	c := dial(t, plan, s)

	c.send("ping")
	c.reads("wait", "ok: ping")

	if n, trips := len(plan.Records()), plan.RoundTrips(); n != 0 || trips != 0 {
		t.Errorf("housekeeping: %d commands in %d round trips", n, trips)
	}

	c.send("a", "b", "c")
	c.reads("wait", "ok: a", "wait", "ok: b", "wait", "ok: c")
	c.send("d", "ping")
	c.reads("wait", "ok: d", "wait", "ok: ping")

	if n, trips := len(plan.Records()), plan.RoundTrips(); n != 4 || trips != 2 {
		t.Errorf("%d commands in %d round trips, want 4 in 2", n, trips)
	}

	plan.Reset()

	if n, trips := len(plan.Records()), plan.RoundTrips(); n != 0 || trips != 0 {
		t.Errorf("%d commands in %d round trips are left", n, trips)
	}
}

func TestWhatIsUnaskedIsNoReply(t *testing.T) {
	plan, s := setUp(t)
	lost := plan.Next(LostReply, is("subscribe"))
	c := dial(t, plan, s)

	c.send("subscribe")
	c.reads("news")
	c.isCut()
	lost.Wait()
}

func TestAServerThatIsDownRefusesUntilItIsUp(t *testing.T) {
	plan, s := setUp(t)
	c := dial(t, plan, s)

	plan.Down()
	c.isCut()

	if _, err := plan.Dial(t.Context(), "tcp", s.addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a server that is down: %v", err)
	}

	// A proxy that is made meanwhile is down, too.
	if _, err := plan.Dial(t.Context(), "tcp", startServer(t).addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to another server that is down: %v", err)
	}

	plan.Up()
	plan.Up() // which changes nothing

	c = dial(t, plan, s)
	c.send("a")
	c.reads("wait", "ok: a")
}

func TestAServerThatHasGoneIsGoneForItsClient(t *testing.T) {
	plan, s := setUp(t)
	c := dial(t, plan, s)

	s.kill()
	c.isCut()
}

func TestStalledRepliesArriveWhenTheyAreLetGo(t *testing.T) {
	plan, s := setUp(t)
	c := dial(t, plan, s)

	plan.Stall()
	plan.Stall() // which changes nothing
	c.send("a")
	s.gets(t, "a")

	read := make(chan struct{})

	go func() {
		defer close(read)

		c.reads("wait", "ok: a")
	}()

	select {
	case <-read:
		t.Error("the reply has passed")
	case <-time.After(20 * time.Millisecond): // what does not happen has no event
	}

	plan.Unstall()
	plan.Unstall() // which changes nothing
	<-read
}

func TestConnectionsThatDieInSilenceStayOpenAndNewOnesWork(t *testing.T) {
	plan, s := setUp(t)
	c := dial(t, plan, s)

	plan.Kill()
	c.send("a")
	s.gets(t, "a")

	read := make(chan struct{})

	go func() {
		defer close(read)

		c.isCut() // at the end of the test
	}()

	other := dial(t, plan, s)
	other.send("b")
	other.reads("wait", "ok: b")

	select {
	case <-read:
		t.Error("the connection has ended")
	default:
	}

	s.kill()
	<-read
}

func TestAPlanThatHasEndedMakesNoProxies(t *testing.T) {
	r := &recorder{TB: t}
	plan := NewPlan(r, newTalk)
	r.cleanup()

	if _, err := plan.Proxy("127.0.0.1:1"); err == nil {
		t.Error("there is a proxy")
	}
}
