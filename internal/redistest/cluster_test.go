//go:build unix

package redistest

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

func TestAClusterThroughOnePlanLosesOneReplyAndThenAMaster(t *testing.T) {
	t.Parallel()

	c := NewCluster(t)
	plan := NewPlan(t)

	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs(), Dialer: plan.Dial, MaxRedirects: 3, ClusterStateReloadInterval: 200 * time.Millisecond,
		DialTimeout: servertest.Patience, ReadTimeout: servertest.Patience, WriteTimeout: servertest.Patience,
	})
	defer client.Close()

	served := make(map[*Server]int)

	for i := range 100 {
		key := strconv.Itoa(i)
		served[c.MasterFor(key)]++

		if err := client.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}

	if len(served) != masters {
		t.Errorf("%d nodes serve as masters", len(served))
	}

	if n, trips := len(plan.Commands()), plan.RoundTrips(); n != 100 || trips != 100 {
		t.Errorf("%d commands in %d round trips, want 100 in 100", n, trips)
	}

	plan.Reset()

	lost := plan.Next(LostReply, Named("n"))

	// The client resends the command by itself.
	if got, err := client.Incr(t.Context(), "n").Result(); got != 2 {
		t.Errorf("got %d, %v", got, err)
	}

	lost.Wait()

	if got := plan.Commands(); len(got) != 2 || got[0].Server != c.MasterFor("n").Addr() || got[0].Fault != LostReply {
		t.Errorf("commands: %v", got)
	}

	replica := c.ReplicaFor("n")
	killed := c.KillMaster("n")

	if killed.isAlive() || killed == replica {
		t.Error("the master lives")
	}

	if got := c.WaitFailover("n"); got != replica || c.MasterFor("n") != got {
		t.Errorf("%s is the master, want %s", got.Addr(), replica.Addr())
	}

	servertest.Wait(t, "the client finds the master", func() error { return client.Incr(t.Context(), "n").Err() })

	killed.Restart()
	servertest.Wait(t, "the old master becomes a replica", killed.inStep)

	if c.ReplicaFor("n") != killed {
		t.Error("the old master is not seen as the replica")
	}
}

func TestServersThatDoNotAgreeAreNotDone(t *testing.T) {
	t.Parallel()

	a, b, dead := Standalone(t), Standalone(t), Standalone(t)
	dead.Kill()

	both := group{a, b}

	for name, named := range map[string]func(s *Server) (*Server, error){
		"each names itself":   func(s *Server) (*Server, error) { return s, nil },
		"both name a dead":    func(*Server) (*Server, error) { return dead, nil },
		"one does not answer": func(s *Server) (*Server, error) { return s, errors.New("no answer") },
	} {
		if got, err := agree(both, named); err == nil {
			t.Errorf("%s: %s", name, got.Addr())
		}
	}

	if got, err := agree(nil, nil); err == nil {
		t.Errorf("nobody names %s", got.Addr())
	}

	if got, err := agree(both, func(*Server) (*Server, error) { return b, nil }); got != b {
		t.Errorf("both name one: %v", err)
	}
}
