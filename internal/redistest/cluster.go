//go:build unix

package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Cluster is three masters with one replica each. A failover takes about three seconds.
type Cluster struct {
	tb    testing.TB
	nodes group
}

const (
	masters = 3
	slots   = 16384
	// nodeTimeout is how long nodes wait for one that is silent, in milliseconds. A machine that stands still causes no failover.
	nodeTimeout = "60000"
)

// NewCluster starts a cluster, and returns when all nodes agree on it. The arguments go to every node, as for [Standalone].
func NewCluster(tb testing.TB, args ...string) *Cluster {
	tb.Helper()

	args = append([]string{
		"--cluster-enabled", "yes",
		"--cluster-node-timeout", nodeTimeout,
		"--repl-ping-replica-period", "1", // a replica counts as connected after its first message
		"--cluster-replica-validity-factor", "0", // a replica that lags may take over, too
		"--cluster-allow-replica-migration", "no", // who replicates whom is changed by takeovers only
	}, args...)

	c := &Cluster{tb: tb}
	for range 2 * masters {
		c.nodes = append(c.nodes, newServer(tb, args...))
	}

	if err := bootAll(c.nodes); err != nil {
		tb.Fatal(err)
	}

	c.form()

	return c
}

// form joins the nodes to one cluster.
func (c *Cluster) form() {
	c.tb.Helper()

	must := func(err error) {
		c.tb.Helper()

		if err != nil {
			c.tb.Fatalf("forming a cluster: %v", err)
		}
	}

	for i, node := range c.nodes {
		must(node.do("cluster", "set-config-epoch", i+1)) // else they quarrel about it first

		if i < masters {
			must(node.do("cluster", "addslotsrange", i*slots/masters, (i+1)*slots/masters-1))
		}

		// Gossip from one node would inform all others, but slowly.
		for _, other := range c.nodes[:i] {
			host, port, err := net.SplitHostPort(other.Addr())
			must(err)
			must(node.do("cluster", "meet", host, port))
		}
	}

	for i, replica := range c.nodes[masters:] {
		id, err := c.nodes[i].id()
		must(err)

		// The replica has to know its master first.
		servertest.Wait(c.tb, "replicating", func() error { return replica.do("cluster", "replicate", id) })
	}

	for _, node := range c.nodes {
		servertest.Wait(c.tb, "forming a cluster", node.isComplete)
	}

	for _, replica := range c.nodes[masters:] {
		servertest.Wait(c.tb, "replicating", replica.inStep)
	}
}

// Addrs returns the addresses of the nodes.
func (c *Cluster) Addrs() []string { return c.nodes.addrs() }

// Nodes returns the nodes in a fixed order. At the start, the first three are masters.
func (c *Cluster) Nodes() []*Server { return c.nodes }

// MasterFor returns the master of a key. It may be dead and not yet replaced.
func (c *Cluster) MasterFor(key string) *Server {
	c.tb.Helper()

	return c.serving(key)[0]
}

// ReplicaFor returns the replica of a key.
func (c *Cluster) ReplicaFor(key string) *Server {
	c.tb.Helper()

	serving := c.serving(key)
	if len(serving) == 1 {
		c.tb.Fatalf("the key %q has no replica", key)
	}

	return serving[1]
}

// KillMaster kills the master of a key, and returns it.
func (c *Cluster) KillMaster(key string) *Server {
	c.tb.Helper()

	master := c.MasterFor(key)

	c.setNodeTimeout("1500")
	master.Kill()

	return master
}

// setNodeTimeout sets the timeout of the living nodes.
func (c *Cluster) setNodeTimeout(milliseconds string) {
	c.tb.Helper()

	for _, node := range c.nodes.living() {
		if err := node.do("config", "set", "cluster-node-timeout", milliseconds); err != nil {
			c.tb.Fatalf("setting the timeout of the nodes: %v", err)
		}
	}
}

// WaitFailover waits until all living nodes agree on a living master of the key and report a healthy cluster. It returns the master. From
// then on, the nodes wait for a minute again.
func (c *Cluster) WaitFailover(key string) (master *Server) {
	c.tb.Helper()

	servertest.Wait(c.tb, "failing over", func() (err error) {
		master, err = agree(c.nodes.living(), func(node *Server) (*Server, error) {
			if err := node.isOK(); err != nil {
				return nil, err
			}

			serving, err := c.servingFor(node, key)
			if err != nil {
				return nil, err
			}

			return serving[0], nil
		})

		return err
	})
	c.setNodeTimeout(nodeTimeout)

	return master
}

// serving returns the master of a key and its replicas, as the first node that lives sees it.
func (c *Cluster) serving(key string) group {
	c.tb.Helper()

	living := c.nodes.living()
	if len(living) == 0 {
		c.tb.Fatal("no node lives")
	}

	serving, err := c.servingFor(living[0], key)
	if err != nil {
		c.tb.Fatal(err)
	}

	return serving
}

// servingFor returns the master of a key and its replicas, as a node sees it.
func (c *Cluster) servingFor(node *Server, key string) (group, error) {
	ctx, cancel := soon()
	defer cancel()

	slot, err := node.client.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return nil, err
	}

	return c.servingSlot(node, int(slot))
}

// servingSlot returns the master of a slot and its replicas, as a node sees it.
func (c *Cluster) servingSlot(node *Server, slot int) (serving group, err error) {
	ranges, err := node.ranges()
	if err != nil {
		return nil, err
	}

	for _, r := range ranges {
		if slot < r.Start || slot > r.End {
			continue
		}

		for _, n := range r.Nodes {
			s, err := c.nodes.at(n.Addr)
			if err != nil {
				return nil, err
			}

			serving = append(serving, s)
		}
	}

	if len(serving) == 0 {
		return nil, fmt.Errorf("%s knows nobody who serves slot %d", node.Addr(), slot)
	}

	return serving, nil
}

// ranges returns who serves which slots, as a node sees it: a master first, and then its replicas that are not gone.
func (s *Server) ranges() ([]redis.ClusterSlot, error) {
	ctx, cancel := soon()
	defer cancel()

	return s.client.ClusterSlots(ctx).Result() //nolint:staticcheck // the newer command also returns nodes that are gone
}

// id returns the node's name in its cluster.
func (s *Server) id() (string, error) {
	ctx, cancel := soon()
	defer cancel()

	return s.client.Do(ctx, "cluster", "myid").Text()
}

// isOK returns nil if the node reports that all slots are served.
func (s *Server) isOK() error {
	ctx, cancel := soon()
	defer cancel()

	info, err := s.client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}

	if !strings.Contains(info, "cluster_state:ok") {
		return fmt.Errorf("%s: the cluster is not ok", s.Addr())
	}

	return nil
}

// isComplete returns nil when a node sees that each master has its replica.
func (s *Server) isComplete() error {
	if err := s.isOK(); err != nil {
		return err
	}

	ranges, err := s.ranges()
	if err != nil {
		return err
	}

	serving := 0
	for _, r := range ranges {
		serving += len(r.Nodes)
	}

	if len(ranges) != masters || serving != 2*masters {
		return fmt.Errorf("%s sees %d nodes in %d ranges", s.Addr(), serving, len(ranges))
	}

	return nil
}
