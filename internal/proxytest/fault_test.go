//go:build unix

package proxytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEveryFaultHasAName(t *testing.T) {
	for fault, want := range map[Fault]string{
		Passed: "passed", LostReply: "lost reply", LostRequest: "lost request", Late: "late", Hung: "hung", -1: "fault -1", 9: "fault 9",
	} {
		if got := fault.String(); got != want {
			t.Errorf("fault %d is %q", int(fault), got)
		}
	}
}

func TestALostReplyIsLostWithAllOfItsMessages(t *testing.T) {
	plan, s := setUp(t)
	lost := plan.Next(LostReply, is("b"))
	c := dial(t, plan, s)

	c.send("a", "b", "c")
	c.reads("wait", "ok: a")
	c.isCut()

	lost.Wait()
	s.gets(t, "a", "b", "c")

	if got := fmt.Sprint(plan.Records()); got != "[{a passed} {b lost reply} {c passed}]" {
		t.Error(got)
	}
}

func TestALostRequestIsLostWithWhatFollowsInOneGo(t *testing.T) {
	plan, s := setUp(t)
	lost := plan.Next(LostRequest, is("b"))
	c := dial(t, plan, s)

	c.send("a", "b", "c")
	lost.Wait()
	s.gets(t, "a")

	if got := fmt.Sprint(plan.Records()); got != "[{a passed} {b lost request} {c lost request}]" {
		t.Error(got)
	}

	dial(t, plan, s).send("b")
	s.gets(t, "a", "b")

	if lost.Count() != 1 {
		t.Errorf("it happened %d times", lost.Count())
	}
}

func TestALateRequestArrivesWhenItIsDelivered(t *testing.T) {
	plan, s := setUp(t)
	late := plan.Next(Late, is("b"))

	c := dial(t, plan, s)
	c.send("a", "b", "quiet", "c")
	late.Wait()
	s.gets(t, "a")
	plan.Cut() // which does not reach it any more

	if got := late.Deliver(); !slices.Equal(got, []string{"ok: b\n"}) {
		t.Errorf("the server replied %q", got)
	}

	s.gets(t, "a", "b", "quiet", "c")

	if got := late.Deliver(); len(got) != 0 {
		t.Errorf("delivered again: %q", got)
	}

	late.MustDeliver() // nothing is late any more
}

func TestALateRequestToAServerThatHasGoneIsLost(t *testing.T) {
	plan, s := setUp(t)
	late := plan.Next(Late, is("a"))

	dial(t, plan, s).send("a")
	late.Wait()
	s.kill()

	if got := late.Deliver(); !slices.Equal(got, []string{""}) {
		t.Errorf("the server replied %q", got)
	}
}

func TestAHungConnectionKeepsItsRepliesUntilItIsCut(t *testing.T) {
	plan, s := setUp(t)
	hung := plan.Next(Hung, is("a"))
	c := dial(t, plan, s)

	c.send("a", "b")
	<-hung.Happened()
	s.gets(t, "a", "b")

	other := dial(t, plan, s)
	other.send("c")
	other.reads("wait", "ok: c")

	plan.Cut()
	c.isCut()
}

func TestEveryCommandIsHitUntilTheFaultIsDisarmed(t *testing.T) {
	plan, s := setUp(t)
	lost := plan.Every(LostReply, is("a"))

	for range 3 {
		c := dial(t, plan, s)
		c.send("a")
		c.isCut()
	}

	lost.Disarm()

	c := dial(t, plan, s)
	c.send("a")
	c.reads("wait", "ok: a")

	if lost.Count() != 3 {
		t.Errorf("it happened %d times", lost.Count())
	}
}

// recorder is a test whose errors and cleanups are looked at.
type recorder struct {
	testing.TB

	cleanup func()
	errors  []string
}

func (r *recorder) Cleanup(f func()) { r.cleanup = f }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestAFaultThatNeverHappensFailsTheTest(t *testing.T) {
	r := &recorder{TB: t}
	plan := NewPlan(r, newTalk)
	plan.Next(LostReply, is("never"))
	plan.Next(LostRequest, is("never")).Disarm()
	r.cleanup()

	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "lost reply") {
		t.Errorf("reported: %q", r.errors)
	}
}

func TestAClientWithAnotherProtocolFailsTheTest(t *testing.T) {
	s := startServer(t)
	r := &recorder{TB: t}
	plan := NewPlan(r, newTalk)

	c := dial(t, plan, s)
	c.send("a", "nonsense")
	s.gets(t, "a")
	c.isCutSomeTime()
	r.cleanup()

	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "a client of "+s.addr()) {
		t.Errorf("reported: %q", r.errors)
	}
}
