//go:build unix

package crash

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
	"github.com/onlyonce-go/onlyonce/store"
)

// watched is a Redis behind Sentinel.
type watched struct {
	*world

	set *redistest.SentinelSet
}

func newWatched(t *testing.T) watched {
	t.Helper()

	set := redistest.Sentinels(t)
	addrs := set.SentinelAddrs()
	url := fmt.Sprintf("redis+sentinel://%s?addr=%s&master_name=%s", addrs[0], strings.Join(addrs[1:], "&addr="), set.MasterName())

	return watched{newWorldIn(t, keepIn(t, url, url)), set}
}

// cut ends the replication. The replica has all earlier acknowledged writes, and no later ones.
func (w watched) cut(t *testing.T) {
	t.Helper()

	master, replica := w.set.Master().Client(), w.set.Replica()

	eventually(t, "the replica has all records", func() bool {
		there, err := master.DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}

		here, err := replica.Client().DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}

		return here == there
	})

	replica.Pause() // so that it does not connect again
	// Without this, the replica would read the master's later writes when it resumes.
	if err := master.ClientKillByFilter(t.Context(), "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
}

// fail kills the master and returns when its replica has replaced it.
func (w watched) fail(t *testing.T) {
	t.Helper()

	began := time.Now()
	replica := w.set.Replica()

	w.set.KillMaster()
	replica.Resume()

	if master := w.set.WaitFailover(); master != replica {
		t.Fatalf("%s is the master, want %s", master.Addr(), replica.Addr())
	}

	t.Logf("it took %v to replace the master", time.Since(began).Round(time.Millisecond))
}

func (w watched) begin(t *testing.T, server string, c client, at point, name string, n int) []*parkedCall {
	t.Helper()

	calls := make([]*parkedCall, n)
	for i := range calls {
		calls[i] = w.beginAt(t, server, c, at, fmt.Sprintf("%s-%d", name, i))
	}

	for _, call := range calls {
		call.wait(t)
	}

	return calls
}

func TestF13FailoverLosesClaims(t *testing.T) {
	t.Parallel()

	const before, after = 10, 60

	w := newWatched(t)
	first := w.start(t, serverConfig{Name: "first", Policy: sound(onlyonce.AtMostOnce), Deduplicated: true}).dial(t)
	second := w.start(t, serverConfig{Name: "second", Policy: sound(onlyonce.AtMostOnce), Deduplicated: true}).dial(t)

	kept := w.begin(t, "first", first, atHandler, "replicated", before)

	w.cut(t)

	began := time.Now()
	claimed := w.begin(t, "first", first, atHandler, "acknowledged", after)
	took := time.Since(began)

	w.fail(t)

	lost := 0

	for _, call := range claimed {
		if w.record(t, call.key).State == store.Absent {
			lost++
		}
	}

	t.Logf("%d of %d claims that were acknowledged in the last %v are lost", lost, after, took.Round(time.Millisecond))

	if lost != after {
		t.Errorf("%d of %d claims are lost that the replica cannot know", lost, after)
	}

	for i, call := range claimed {
		var winner answer

		overtaken := i%2 == 0
		if overtaken { // which cannot be prevented: the store does not know the run
			winner = second.run(t, call.key)
			winner.mustSay(t, onlyonce.StatusExecuted)
		}

		before := w.record(t, call.key)
		call.release()

		late := call.finish(t)
		w.mustReach(t, atLeaseLost, call.key)

		now := w.record(t, call.key)
		now.LookedUpAt = before.LookedUpAt

		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("the stale completion has changed the record (-before +after):\n%s", diff)
		}

		if overtaken {
			late.mustSay(t, onlyonce.StatusReplayed)
			late.mustEqual(t, winner)
			w.mustHave(t, call.key, 2, 1)
		} else {
			late.mustSay(t, onlyonce.StatusUnrecorded)
			w.mustBe(t, call.key, store.Absent)
			w.mustHave(t, call.key, 1, 1)
		}
	}

	for _, call := range kept {
		call.release()

		ran := call.finish(t)
		ran.mustSay(t, onlyonce.StatusExecuted)

		duplicate := second.run(t, call.key)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, ran)
		w.mustHave(t, call.key, 1, 1)
	}
}

func TestF15FailoverLosesCompletions(t *testing.T) {
	t.Parallel()

	const calls = 10

	w := newWatched(t)

	most := w.start(t, serverConfig{Name: "most", Policy: mortal(onlyonce.AtMostOnce), Deduplicated: true}).dial(t)
	least := w.start(t, serverConfig{Name: "least", Policy: mortal(onlyonce.AtLeastOnce), Deduplicated: true}).dial(t)

	once := w.begin(t, "most", most, atReturned, "most", calls)
	again := w.begin(t, "least", least, atReturned, "least", calls)

	w.cut(t)

	for _, call := range append(once, again...) {
		call.release()
		call.finish(t).mustSay(t, onlyonce.StatusExecuted)
		w.mustBe(t, call.key, store.Completed)
	}

	w.fail(t)

	for _, call := range once {
		w.mustBe(t, call.key, store.Running)
		most.run(t, call.key).mustReject(t, onlyonce.ReasonOutcomeUnknown)
		w.mustHave(t, call.key, 1, 1)
	}

	// The effect happened if the key derived from the call's was used before.
	for _, call := range again {
		w.mustBe(t, call.key, store.Running)

		retry := least.run(t, call.key)
		retry.mustSay(t, onlyonce.StatusExecuted)
		w.mustHave(t, call.key, 2, 1)

		duplicate := least.run(t, call.key)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, retry)
	}
}
