//go:build unix

package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestSentinelsReplaceAMasterThatIsKilled(t *testing.T) {
	t.Parallel()

	x := Sentinels(t)
	plan := NewPlan(t)

	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: x.MasterName(), SentinelAddrs: x.SentinelAddrs(), Dialer: plan.Dial,
		DialTimeout: servertest.Patience, ReadTimeout: servertest.Patience, WriteTimeout: servertest.Patience,
	})
	defer client.Close()

	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}

	replica := x.Replica()
	killed := x.KillMaster()

	if killed.isAlive() || killed == replica {
		t.Error("the master lives")
	}

	if got := x.WaitFailover(); got != replica || x.Master() != got || x.Replica() != killed {
		t.Errorf("%s is the master, want %s", got.Addr(), replica.Addr())
	}

	servertest.Wait(t, "the client finds the master", func() error { return client.Incr(t.Context(), "n").Err() })
	holds(t, replica, "n", "1")
}
