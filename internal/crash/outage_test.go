//go:build unix

package crash

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

// remote is a Redis that servers reach through a proxy. The test process reaches it always.
type remote struct {
	*world

	server *redistest.Server
	line   *redistest.Proxy
}

func newRemote(t *testing.T) remote {
	t.Helper()

	server := redistest.Standalone(t)
	line := redistest.NewProxy(t, server.Addr())

	return remote{newWorldIn(t, keepIn(t, server.URL(), line.URL())), server, line}
}

// cutOff is a server whose store goes away. Its outcomes have time to be recorded.
func cutOff(policy onlyonce.Policy) serverConfig {
	return serverConfig{Name: "first", Policy: policy, StoreTimeout: time.Second, SettleTimeout: patience}
}

// impatient is a server whose store goes away, and whose callers do not wait until it is back.
func impatient(policy onlyonce.Policy) serverConfig {
	config := cutOff(policy)
	config.SettleTimeout = time.Second

	return config
}

// beside is a server that reaches the store always.
func (r remote) beside(policy onlyonce.Policy) serverConfig {
	return serverConfig{Name: "second", Policy: policy, Redis: r.server.URL(), Deduplicated: true}
}

func TestF06StoreDownBeforeTheClaim(t *testing.T) {
	t.Parallel()

	t.Run("nothing runs, and the retry does when the store is back", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)

		r.line.Down()

		for range 2 {
			first.pay(t, theKey).mustReject(t, onlyonce.ReasonStoreUnavailable)
		}

		r.mustBe(t, theKey, store.Absent)
		r.mustHave(t, theKey, 0, 0)
		r.line.Up()

		r.mustReach(t, atPendingSettled, theKey)
		first.run(t, theKey).mustSay(t, onlyonce.StatusExecuted)
		first.run(t, theKey).mustSay(t, onlyonce.StatusReplayed)
		r.mustHave(t, theKey, 1, 1)
	})

	t.Run("a store that hears and does not answer is as good as down", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)

		r.line.Stall()
		first.pay(t, theKey).mustReject(t, onlyonce.ReasonStoreUnavailable)
		r.mustHave(t, theKey, 0, 0)
		r.line.Unstall()

		r.mustReach(t, atPendingSettled, theKey)
		r.mustBe(t, theKey, store.Released)
		first.run(t, theKey).mustSay(t, onlyonce.StatusExecuted)
		r.mustHave(t, theKey, 1, 1)
	})

	t.Run("a method that fails open runs, and says so", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		policy := sound(onlyonce.AtLeastOnce)
		policy.StoreDown = onlyonce.FailOpen
		first := r.start(t, cutOff(policy)).dial(t)

		r.line.Down()
		first.pay(t, theKey).mustSay(t, onlyonce.StatusUnprotected)
		r.mustHave(t, theKey, 1, 1)
	})
}

func TestF07StoreDownDuringTheRun(t *testing.T) {
	t.Parallel()

	// If a busy machine ends the run too late, the test retries with a longer lease.
	t.Run("AT_LEAST_ONCE: it is told to end before its lease can have ended", func(t *testing.T) {
		t.Parallel()

		for lease := time.Second; !endsInTime(t, lease); lease *= 4 {
			if lease > 4*time.Second {
				t.Fatalf("a run was not told to end between a failed renewal and the end of its lease of %v", lease)
			}
		}
	})

	t.Run("AT_MOST_ONCE: it goes on, and is recorded when the store is back", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		first := r.start(t, cutOff(mortal(onlyonce.AtMostOnce)))
		second := r.start(t, r.beside(sound(onlyonce.AtMostOnce))).dial(t)

		caller := r.parkAt(t, "first", first.dial(t), atHandler, theKey)

		r.line.Down()
		r.mustReach(t, atRenewFailed, theKey)
		r.mustReach(t, atLeaseLost, theKey)
		second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)
		r.line.Up()

		eventually(t, "the run has its lease again", func() bool { return !r.record(t, theKey).Unknown })
		caller.release()

		ran := caller.finish(t)
		ran.mustSay(t, onlyonce.StatusExecuted)
		r.mustBe(t, theKey, store.Completed)

		duplicate := second.pay(t, theKey)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, ran)
		r.mustHave(t, theKey, 1, 1)
	})
}

// endsInTime cuts off the server of a run, and reports whether the run was ended after a failed renewal and while its lease was alive.
func endsInTime(t *testing.T, lease time.Duration) bool {
	t.Helper()

	r := newRemote(t)
	policy := sound(onlyonce.AtLeastOnce)
	policy.Lease = lease

	caller := r.start(t, cutOff(policy)).dial(t)
	second := r.start(t, r.beside(sound(onlyonce.AtLeastOnce))).dial(t)

	told := r.park("first", atEnd, theKey)
	begun := r.beginAtWith(t, "first", caller, atHandler, theKey, endless())
	begun.wait(t)

	r.line.Down()
	begun.release()

	end := told.wait(t)
	alive := !r.record(t, theKey).Unknown

	if cause := string(end.Body); cause != onlyonce.ErrLeaseLost.Error() {
		t.Errorf("the run was ended because: %s", cause)
	}

	r.mustReach(t, atLeaseLost, theKey)

	// A process that stands still until its lease is lost has no failed renewal.
	failed := len(r.seen(atRenewFailed, theKey)) > 0

	// Its successor waits for the end of the lease, and not for the end of the run.
	r.waitUnsettled(t, theKey)

	next := r.beginAtWith(t, "second", second, atHandler, theKey, endless())
	if successor := next.wait(t); successor.Fence <= end.Fence || successor.Attempt != 2 {
		t.Errorf("the takeover is %+v, want attempt 2 with a fence above %d", successor, end.Fence)
	}

	told.release()

	late := begun.finish(t)
	if late.status() != onlyonce.StatusUnknown {
		t.Errorf("the run that was cut off was answered with %q and %v", late.status(), late.err)
	}

	return failed && alive
}

func TestF08StoreDownAtTheCompletion(t *testing.T) {
	t.Parallel()

	begin := func(t *testing.T, guarantee onlyonce.Guarantee) (r remote, ran answer, second client) {
		t.Helper()

		r = newRemote(t)
		config := impatient(mortal(guarantee))
		config.Deduplicated = true
		first := r.start(t, config)
		second = r.start(t, r.beside(sound(guarantee))).dial(t)

		caller := r.parkAt(t, "first", first.dial(t), atReturned, theKey)

		r.line.Down()
		caller.release()

		ran = caller.finish(t)
		ran.mustSay(t, onlyonce.StatusUnrecorded)
		r.mustReach(t, atSettleFailed, theKey)
		r.mustBe(t, theKey, store.Running)

		return r, ran, second
	}

	t.Run("AT_MOST_ONCE: unknown after the lease, and settled in the background", func(t *testing.T) {
		t.Parallel()

		r, ran, second := begin(t, onlyonce.AtMostOnce)

		second.pay(t, theKey).mustReject(t, onlyonce.ReasonOutcomeUnknown)
		r.line.Up()
		r.mustReach(t, atPendingSettled, theKey)

		duplicate := second.pay(t, theKey)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, ran)
		r.mustHave(t, theKey, 1, 1)
	})

	t.Run("AT_LEAST_ONCE: taken over after the lease, and the late completion changes nothing", func(t *testing.T) {
		t.Parallel()

		r, _, second := begin(t, onlyonce.AtLeastOnce)

		taken := second.pay(t, theKey)
		taken.mustSay(t, onlyonce.StatusExecuted)
		r.line.Up()
		r.mustReach(t, atPendingSettled, theKey)

		duplicate := second.pay(t, theKey)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, taken)
		r.mustHave(t, theKey, 2, 1)
	})
}

func TestF09F10F11OneMessageIsLost(t *testing.T) {
	t.Parallel()

	for _, fault := range []redistest.Fault{redistest.LostReply, redistest.LostRequest} {
		for _, operation := range []string{"claim", "completion"} {
			t.Run(fault.String()+" of the "+operation, func(t *testing.T) {
				t.Parallel()

				r := newRemote(t)
				first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)
				first.run(t, "another").mustSay(t, onlyonce.StatusExecuted) // the server knows the scripts

				if operation == "claim" {
					r.line.Next(fault, redistest.Named("evalsha", "set"))
				}

				caller := r.parkAt(t, "first", first, atReturned, theKey)

				if operation == "completion" {
					r.line.Next(fault, redistest.Named("evalsha", "set"))
				}

				caller.release()

				ran := caller.finish(t)
				ran.mustSay(t, onlyonce.StatusExecuted)

				duplicate := first.run(t, theKey)
				duplicate.mustSay(t, onlyonce.StatusReplayed)
				duplicate.mustEqual(t, ran)
				r.mustHave(t, theKey, 1, 1)

				if n := len(r.seen(atLeaseLost, theKey)); n > 0 {
					t.Errorf("the observer was told %d times that the lease was lost", n)
				}
			})
		}
	}
}

func TestF43RedisRestartedEmpty(t *testing.T) {
	t.Parallel()

	for _, guarantee := range []onlyonce.Guarantee{onlyonce.AtMostOnce, onlyonce.AtLeastOnce} {
		t.Run(guarantee.String()+": a run whose record is missing is told to end", func(t *testing.T) {
			t.Parallel()

			r := newRemote(t)
			policy := sound(guarantee)
			policy.Lease = 2 * time.Second
			caller := r.start(t, cutOff(policy)).dial(t)

			told := r.park("first", atEnd, theKey)
			begun := r.beginAtWith(t, "first", caller, atHandler, theKey, endless())
			begun.wait(t)

			r.server.Restart()
			begun.release()

			if cause := string(told.wait(t).Body); cause != onlyonce.ErrLeaseLost.Error() {
				t.Errorf("the run was ended because: %s", cause)
			}

			r.mustReach(t, atLeaseLost, theKey)
			told.release()

			if ended := begun.finish(t); ended.status() != onlyonce.StatusUnknown {
				t.Errorf("the run was answered with %q and %v", ended.status(), ended.err)
			}
		})
	}

	t.Run("a completion that finds no record is not recorded, and its caller is told", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)

		caller := r.parkAt(t, "first", first, atReturned, theKey)

		r.server.Restart()
		caller.release()

		caller.finish(t).mustSay(t, onlyonce.StatusUnrecorded)
		r.mustReach(t, atLeaseLost, theKey)
		r.mustBe(t, theKey, store.Absent)
		r.mustHave(t, theKey, 1, 1)
	})

	t.Run("the scripts are loaded again", func(t *testing.T) {
		t.Parallel()

		r := newRemote(t)
		first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)
		first.run(t, "before").mustSay(t, onlyonce.StatusExecuted)

		r.server.Restart()
		r.line.Reset()
		first.run(t, "after").mustSay(t, onlyonce.StatusExecuted)

		if sentSources(r) == 0 && !completesWithoutScripts(t, r) {
			t.Error("a server without scripts was not sent any")
		}

		r.line.Reset()
		first.run(t, "later").mustSay(t, onlyonce.StatusExecuted)

		if sentSources(r) > 0 {
			t.Error("a server that knows the scripts was sent one")
		}
	})
}

// completesWithoutScripts reports whether the server knows SET with IFEQ, so that a call needs no script.
func completesWithoutScripts(t *testing.T, r remote) bool {
	t.Helper()

	return errors.Is(r.server.Client().Do(t.Context(), "SET", "nothing", "", "IFEQ", "x").Err(), redis.Nil)
}

// sentSources counts the operations on records that were sent with the source of their script. Entries of the index
// always have it.
func sentSources(r remote) (n int) {
	for _, command := range r.line.Commands() {
		if command.Name == "eval" && !strings.Contains(command.Args[2], "index:") {
			n++
		}
	}

	return n
}

func TestF54NoReplyToTheClaimUntilItIsGivenUp(t *testing.T) {
	t.Parallel()

	for fault, name := range map[redistest.Fault]string{
		redistest.LostReply: "it has arrived, and its replies are lost",
		redistest.Hung:      "it has arrived, and is never answered",
		redistest.Late:      "it arrives when it is withdrawn, and loses",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := newRemote(t)
			first := r.start(t, cutOff(sound(onlyonce.AtMostOnce))).dial(t)
			first.run(t, "another").mustSay(t, onlyonce.StatusExecuted) // the server knows the scripts

			lost := r.line.Every(fault, redistest.Named("evalsha", "set"))
			first.pay(t, theKey).mustReject(t, onlyonce.ReasonStoreUnavailable)
			r.mustReach(t, atClaimWithdrawn, theKey)
			lost.Disarm()
			r.mustReach(t, atPendingSettled, theKey)

			if fault == redistest.Late {
				if late := lost.Deliver(); len(late) == 0 {
					t.Error("nothing was late")
				}
			}

			r.mustBe(t, theKey, store.Released)
			r.mustHave(t, theKey, 0, 0)

			first.run(t, theKey).mustSay(t, onlyonce.StatusExecuted)
			first.run(t, theKey).mustSay(t, onlyonce.StatusReplayed)
			r.mustHave(t, theKey, 1, 1)
		})
	}
}
