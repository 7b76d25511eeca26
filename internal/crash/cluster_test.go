//go:build unix

package crash

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/redistest"
)

// recordOf returns the name of the record of a key, and the node that has it. The record contains the key.
func recordOf(t *testing.T, cluster *redistest.Cluster, key string) (name string, node *redistest.Server) {
	t.Helper()

	for _, node := range cluster.Nodes() {
		names, err := node.Client().Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}

		for _, name := range names {
			// Replicas do not answer, and indexes are of another type.
			if value, err := node.Client().Get(t.Context(), name).Result(); err == nil && strings.Contains(value, key) {
				return name, node
			}
		}
	}

	t.Fatalf("no node has the record of %s", key)

	return "", nil
}

// newIdle is an engine whose client knows the cluster as it is now and refreshes that much later. So an operation
// itself has to find the new master, even on a slow machine.
func newIdle(t *testing.T, url string) *onlyonce.Engine {
	t.Helper()

	records, err := openRedis(url, patience)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { records.Close() })

	engine, err := onlyonce.New(records, onlyonce.WithLimits(onlyonce.Limits{StoreTimeout: patience}))
	if err != nil {
		t.Fatal(err)
	}

	if _, err := engine.Lookup(t.Context(), identity(theKey)); err != nil {
		t.Fatal(err)
	}

	return engine
}

// whenMaster returns a channel that is closed when the replica reports that it is a master.
func whenMaster(t *testing.T, replica *redistest.Server) <-chan time.Time {
	t.Helper()

	ctx := t.Context()
	promoted := make(chan time.Time, 1)

	go func() {
		defer close(promoted)

		for {
			role, err := replica.Client().Do(ctx, "role").Slice()
			if err != nil {
				return // the test has ended, or will fail by itself
			}

			if role[0] == "master" {
				promoted <- time.Now()

				return
			}

			time.Sleep(2 * time.Millisecond)
		}
	}()

	return promoted
}

func TestF44ClusterMasterKilled(t *testing.T) {
	t.Parallel()

	const others = 60

	cluster := redistest.NewCluster(t)
	addrs := cluster.Addrs()
	url := fmt.Sprintf("redis+cluster://%s?addr=%s", addrs[0], strings.Join(addrs[1:], "&addr="))
	w := newWorldIn(t, keepIn(t, url, url))

	config := serverConfig{Name: "first", Policy: sound(onlyonce.AtMostOnce), StoreTimeout: 2 * time.Second, SettleTimeout: patience}
	first := w.start(t, config).dial(t)

	config.Name = "second"
	second := w.start(t, config).dial(t)

	done := first.run(t, theKey)
	done.mustSay(t, onlyonce.StatusExecuted)

	idle := make([]*onlyonce.Engine, 4)
	for i := range idle {
		idle[i] = newIdle(t, url)
	}

	name, master := recordOf(t, cluster, theKey)
	if master != cluster.MasterFor(name) {
		t.Fatalf("%s has a record that belongs to %s", master.Addr(), cluster.MasterFor(name).Addr())
	}

	replica := cluster.ReplicaFor(name)

	// Runs on all slots. A third of them belong to the master that is killed.
	parked := make([]*parkedCall, others)
	for n := range parked {
		parked[n] = w.beginAt(t, "first", first, atHandler, fmt.Sprintf("parked-%d", n))
	}

	for _, call := range parked {
		call.wait(t)
	}

	eventually(t, "the replica has all records", func() bool {
		there, err := master.Client().DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}

		here, err := replica.Client().DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}

		return here == there
	})

	killed := time.Now()

	cluster.KillMaster(name)

	// A claim on its slots is refused until there is a new master, and works then.
	promoted := whenMaster(t, replica)
	refused := 0

	eventually(t, "claims on its slots work again", func() bool {
		got := second.pay(t, theKey)
		if got.reason() == onlyonce.ReasonStoreUnavailable {
			refused++

			return false
		}

		got.mustSay(t, onlyonce.StatusReplayed)
		got.mustEqual(t, done)

		return true
	})

	served := time.Now()
	became := <-promoted

	t.Logf("promotion %v after the kill, claims work again %v after the promotion; %d were refused",
		became.Sub(killed).Round(time.Millisecond), served.Sub(became).Round(time.Millisecond), refused)

	if got := cluster.WaitFailover(name); got != replica {
		t.Errorf("%s is the master, want %s", got.Addr(), replica.Addr())
	}

	for _, engine := range idle {
		if _, err := engine.Lookup(t.Context(), identity(theKey)); err != nil {
			t.Errorf("a process that was idle during the failover: %v", err)
		}
	}

	for _, call := range parked {
		call.release()

		ran := call.finish(t)
		ran.mustSay(t, onlyonce.StatusExecuted)

		duplicate := second.run(t, call.key)
		duplicate.mustSay(t, onlyonce.StatusReplayed)
		duplicate.mustEqual(t, ran)
		w.mustHave(t, call.key, 1, 1)
	}

	for n := range others {
		key := fmt.Sprintf("new-%d", n)
		second.run(t, key).mustSay(t, onlyonce.StatusExecuted)
		first.run(t, key).mustSay(t, onlyonce.StatusReplayed)
		w.mustHave(t, key, 1, 1)
	}
}
