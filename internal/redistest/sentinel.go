//go:build unix

package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// SentinelSet is a master, a replica, and three sentinels. After KillMaster, a failover takes about two seconds.
type SentinelSet struct {
	tb        testing.TB
	servers   group
	sentinels group
}

const (
	sentinels = 3
	// aliveFor is how long sentinels wait for a master that is silent. A machine that stands still causes no failover.
	aliveFor = time.Minute
)

// Sentinels starts a set, and returns when all its servers know each other. The arguments go to master and replica, as for [Standalone].
func Sentinels(tb testing.TB, args ...string) *SentinelSet {
	tb.Helper()

	here := func(args ...string) *Server { return Standalone(tb, args...) }
	x := &SentinelSet{tb: tb, servers: replicate(tb, []func(args ...string) *Server{here, here}, args)}

	for range sentinels {
		x.sentinels = append(x.sentinels, x.newSentinel())
	}

	x.meet()

	return x
}

// SentinelsAt starts a server and a sentinel at each site of a network. The master is at the first site. The sentinels replace it
// only after ReplaceMasterAfter.
func SentinelsAt(network *Network, args ...string) *SentinelSet {
	network.tb.Helper()

	start := make([]func(args ...string) *Server, network.sites)
	for site := range start {
		start[site] = func(args ...string) *Server { return StandaloneAt(network, site, args...) }
	}

	x := &SentinelSet{tb: network.tb, servers: replicate(network.tb, start, args)}

	for site := range network.sites {
		sentinel := x.newSentinel()
		sentinel.settle(network, site)
		x.sentinels = append(x.sentinels, sentinel)
	}

	x.meet()

	return x
}

// replicate starts a master and its replicas.
func replicate(tb testing.TB, start []func(args ...string) *Server, args []string) group {
	tb.Helper()

	servers := make(group, 0, len(start))
	servers = append(servers, start[0](args...))
	following := append([]string{"--replicaof", servers[0].host, strconv.Itoa(servers[0].port)}, args...)

	for _, replica := range start[1:] {
		servers = append(servers, replica(following...))
	}

	// A sentinel looks for replicas at once, and then only after ten seconds.
	for _, replica := range servers[1:] {
		servertest.Wait(tb, "replicating", replica.inStep)
	}

	return servers
}

// meet starts the sentinels, and returns when they know all.
func (x *SentinelSet) meet() {
	x.tb.Helper()

	if err := bootAll(x.sentinels); err != nil {
		x.tb.Fatal(err)
	}

	for _, sentinel := range x.sentinels {
		// A sentinel that has stood still for 2 seconds replaces no master for this time, which is 30 seconds by default.
		if err := sentinel.do("sentinel", "debug", "tilt-period", "1000"); err != nil {
			x.tb.Fatalf("shortening the pause of the sentinels: %v", err)
		}

		servertest.Wait(x.tb, "sentinels meeting", func() error { return x.knowsAll(sentinel) })
	}
}

// newSentinel prepares a sentinel, which keeps its state in its configuration file.
func (x *SentinelSet) newSentinel() *Server {
	x.tb.Helper()

	s := newServer(x.tb)
	s.config = filepath.Join(s.dir, "sentinel.conf")
	s.args = []string{"--sentinel"}

	name := x.MasterName()
	config := strings.Join([]string{
		fmt.Sprintf("sentinel monitor %s %s %d %d", name, x.servers[0].host, x.servers[0].port, sentinels/2+1),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", name, aliveFor.Milliseconds()),
		fmt.Sprintf("sentinel failover-timeout %s 5000", name),
		"",
	}, "\n")

	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		x.tb.Fatal(err)
	}

	return s
}

// knowsAll returns nil if a sentinel knows the replica and the other sentinels.
func (x *SentinelSet) knowsAll(sentinel *Server) error {
	ctx, cancel := soon()
	defer cancel()

	cmd := redis.NewMapStringStringCmd(ctx, "sentinel", "master", x.MasterName())
	_ = sentinel.client.Process(ctx, cmd) // cmd has the error

	known, err := cmd.Result()
	if err != nil {
		return err
	}

	replicas, others := strconv.Itoa(len(x.servers)-1), strconv.Itoa(len(x.sentinels)-1)
	if known["flags"] != "master" || known["num-slaves"] != replicas || known["num-other-sentinels"] != others {
		return fmt.Errorf("%s sees a %s with %s replicas and %s other sentinels",
			sentinel.Addr(), known["flags"], known["num-slaves"], known["num-other-sentinels"])
	}

	return nil
}

// MasterName returns the name of the master for sentinels.
func (*SentinelSet) MasterName() string { return "main" }

// SentinelAddrs returns the addresses of the sentinels.
func (x *SentinelSet) SentinelAddrs() []string { return x.sentinels.addrs() }

// SentinelServers returns the sentinels.
func (x *SentinelSet) SentinelServers() []*Server { return x.sentinels }

// Master returns the master according to the first living sentinel. It may be dead and not yet replaced.
func (x *SentinelSet) Master() *Server {
	x.tb.Helper()

	living := x.sentinels.living()
	if len(living) == 0 {
		x.tb.Fatal("no sentinel lives")
	}

	master, err := x.masterFor(living[0])
	if err != nil {
		x.tb.Fatal(err)
	}

	return master
}

// Replica returns the server that is not the master.
func (x *SentinelSet) Replica() *Server {
	x.tb.Helper()

	if master := x.Master(); master != x.servers[1] {
		return x.servers[1]
	}

	return x.servers[0]
}

// KillMaster kills the master, and returns it.
func (x *SentinelSet) KillMaster() *Server {
	x.tb.Helper()

	master := x.Master()

	x.ReplaceMasterAfter(time.Second)
	master.Kill()

	return master
}

// ReplaceMasterAfter makes the living sentinels replace a master that is down for a time. Before, they replace none.
func (x *SentinelSet) ReplaceMasterAfter(down time.Duration) {
	x.tb.Helper()

	for _, sentinel := range x.sentinels.living() {
		err := sentinel.do("sentinel", "set", x.MasterName(), "down-after-milliseconds", strconv.FormatInt(down.Milliseconds(), 10))
		if err != nil {
			x.tb.Fatalf("setting the patience of the sentinels: %v", err)
		}
	}
}

// Servers returns the initial master and its replicas.
func (x *SentinelSet) Servers() []*Server { return x.servers }

// WaitPromotion waits until the sentinels at all sites but one agree on a master at another site, and that master
// agrees. It returns the master. From then on, the sentinels wait for a minute again.
func (x *SentinelSet) WaitPromotion(without int) *Server {
	x.tb.Helper()

	asked := slices.Delete(slices.Clone(x.sentinels), without, without+1)

	return x.waitFailover(asked, func(master *Server) bool { return master.site != without })
}

// WaitFailover waits until all living sentinels agree that the master is alive, and the master agrees. It returns the master. From then on,
// the sentinels wait for a minute again.
func (x *SentinelSet) WaitFailover() *Server {
	x.tb.Helper()

	return x.waitFailover(x.sentinels, func(*Server) bool { return true })
}

func (x *SentinelSet) waitFailover(asked group, may func(master *Server) bool) (master *Server) {
	x.tb.Helper()

	servertest.Wait(x.tb, "failing over", func() (err error) {
		master, err = agree(asked.living(), x.masterFor)
		if err != nil {
			return err
		}

		if !may(master) {
			return fmt.Errorf("%s is the master still", master.Addr())
		}

		replication, err := master.section("replication")
		if err == nil && replication["role"] != "master" {
			err = fmt.Errorf("%s is a %s", master.Addr(), replication["role"])
		}

		return err
	})
	x.ReplaceMasterAfter(aliveFor)

	return master
}

// masterFor returns the master according to a sentinel.
func (x *SentinelSet) masterFor(sentinel *Server) (*Server, error) {
	ctx, cancel := soon()
	defer cancel()

	cmd := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", x.MasterName())
	_ = sentinel.client.Process(ctx, cmd) // cmd has the error

	addr, err := cmd.Result()
	if err != nil {
		return nil, err
	}

	return x.servers.at(net.JoinHostPort(addr[0], addr[1]))
}
