//go:build unix

package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// SentinelSet is a master, its replica, and three sentinels that replace the master when it is gone, after some two
// seconds.
type SentinelSet struct {
	tb        testing.TB
	servers   group
	sentinels group
}

const sentinels = 3

// Sentinels starts a set, and returns when all in it know each other. The arguments are those of master and replica, as for
// [Standalone].
func Sentinels(tb testing.TB, args ...string) *SentinelSet {
	tb.Helper()

	master := Standalone(tb, args...)

	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		tb.Fatal(err)
	}

	replica := Standalone(tb, append([]string{"--replicaof", host, port}, args...)...)
	// A sentinel looks for replicas at once, and then not for ten seconds.
	servertest.Wait(tb, "replicating", replica.inStep)

	x := &SentinelSet{tb: tb, servers: group{master, replica}}
	for range sentinels {
		x.sentinels = append(x.sentinels, x.newSentinel(host, port))
	}

	if err := bootAll(x.sentinels); err != nil {
		tb.Fatal(err)
	}

	for _, sentinel := range x.sentinels {
		servertest.Wait(tb, "sentinels meeting", func() error { return x.knowsAll(sentinel) })
	}

	return x
}

// newSentinel prepares a sentinel, which keeps what it knows in the file of its configuration.
func (x *SentinelSet) newSentinel(host, port string) *Server {
	x.tb.Helper()

	s := newServer(x.tb)
	s.config = filepath.Join(s.dir, "sentinel.conf")
	s.args = []string{"--sentinel"}

	name := x.MasterName()
	config := strings.Join([]string{
		fmt.Sprintf("sentinel monitor %s %s %s %d", name, host, port, sentinels/2+1),
		fmt.Sprintf("sentinel down-after-milliseconds %s 1000", name),
		fmt.Sprintf("sentinel failover-timeout %s 5000", name),
		"",
	}, "\n")

	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		x.tb.Fatal(err)
	}

	return s
}

// knowsAll returns nil when a sentinel knows the replica and the other sentinels.
func (x *SentinelSet) knowsAll(sentinel *Server) error {
	ctx, cancel := soon()
	defer cancel()

	cmd := redis.NewMapStringStringCmd(ctx, "sentinel", "master", x.MasterName())
	_ = sentinel.client.Process(ctx, cmd) // the error is that of the command

	known, err := cmd.Result()
	if err != nil {
		return err
	}

	if known["flags"] != "master" || known["num-slaves"] != "1" || known["num-other-sentinels"] != "2" {
		return fmt.Errorf("%s sees a %s with %s replicas and %s other sentinels",
			sentinel.Addr(), known["flags"], known["num-slaves"], known["num-other-sentinels"])
	}

	return nil
}

// MasterName returns by what name sentinels know the master.
func (*SentinelSet) MasterName() string { return "main" }

// SentinelAddrs returns where the sentinels are.
func (x *SentinelSet) SentinelAddrs() []string { return x.sentinels.addrs() }

// SentinelServers returns the sentinels.
func (x *SentinelSet) SentinelServers() []*Server { return x.sentinels }

// Master returns the server that the first living sentinel takes for the master, which may be one that is gone and has not
// been replaced.
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
	master.Kill()

	return master
}

// WaitFailover returns the master when all sentinels that live agree that it lives, and it agrees that it is the master.
func (x *SentinelSet) WaitFailover() (master *Server) {
	x.tb.Helper()

	servertest.Wait(x.tb, "failing over", func() (err error) {
		master, err = agree(x.sentinels.living(), x.masterFor)
		if err != nil {
			return err
		}

		replication, err := master.section("replication")
		if err == nil && replication["role"] != "master" {
			err = fmt.Errorf("%s is a %s", master.Addr(), replication["role"])
		}

		return err
	})

	return master
}

// masterFor returns the server that a sentinel takes for the master.
func (x *SentinelSet) masterFor(sentinel *Server) (*Server, error) {
	ctx, cancel := soon()
	defer cancel()

	cmd := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", x.MasterName())
	_ = sentinel.client.Process(ctx, cmd) // the error is that of the command

	addr, err := cmd.Result()
	if err != nil {
		return nil, err
	}

	return x.servers.at(net.JoinHostPort(addr[0], addr[1]))
}
