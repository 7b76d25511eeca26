//go:build unix

package redistest

import (
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Migration moves a slot to another master of a cluster, like redis-cli. The slot is open until Finish. The test chooses the order in which
// keys move.
type Migration struct {
	cluster  *Cluster
	slot     int
	from, to *Server
}

// migrateTimeout is how long the servers may take for one key, in milliseconds.
const migrateTimeout = 60_000

// Migrate opens a slot to another master. No key has moved yet.
func (c *Cluster) Migrate(slot int, to *Server) *Migration {
	c.tb.Helper()

	m := &Migration{cluster: c, slot: slot, from: c.MasterOf(slot), to: to}
	if m.from == to {
		c.tb.Fatalf("%s serves slot %d already", to.Addr(), slot)
	}

	m.must(to.do("cluster", "setslot", slot, "importing", m.id(m.from)))
	m.must(m.from.do("cluster", "setslot", slot, "migrating", m.id(to)))

	return m
}

// Keys returns the keys of the slot that have not moved.
func (m *Migration) Keys() []string {
	m.cluster.tb.Helper()

	ctx, cancel := soon()
	defer cancel()

	keys, err := m.from.client.ClusterGetKeysInSlot(ctx, m.slot, 1000).Result()
	m.must(err)

	return keys
}

// Move moves keys. It ignores missing and expired keys.
func (m *Migration) Move(keys ...string) {
	m.cluster.tb.Helper()

	host, port, err := net.SplitHostPort(m.to.Addr())
	m.must(err)

	for _, key := range keys {
		m.must(m.from.do("migrate", host, port, key, 0, migrateTimeout))
	}
}

// Finish moves the remaining keys and hands the slot over. It returns when all nodes know the new master.
func (m *Migration) Finish() {
	m.cluster.tb.Helper()

	for keys := m.Keys(); len(keys) > 0; keys = m.Keys() {
		m.Move(keys...)
	}

	// The new master first: the slot never has none.
	nodes := slices.Concat(group{m.to, m.from}, m.cluster.nodes[:masters])
	for _, node := range nodes {
		m.must(node.do("cluster", "setslot", m.slot, "node", m.id(m.to)))
	}

	servertest.Wait(m.cluster.tb, "handing a slot over", func() error {
		_, err := agree(m.cluster.nodes.living(), func(node *Server) (*Server, error) {
			serving, err := m.cluster.servingSlot(node, m.slot)
			if err != nil {
				return nil, err
			}

			return serving[0], nil
		})

		return err
	})
}

// MasterOf returns the master of a slot.
func (c *Cluster) MasterOf(slot int) *Server {
	c.tb.Helper()

	serving, err := c.servingSlot(c.nodes[0], slot)
	if err != nil {
		c.tb.Fatal(err)
	}

	return serving[0]
}

// OtherMaster returns a master that does not serve a slot.
func (c *Cluster) OtherMaster(slot int) *Server {
	c.tb.Helper()

	serving := c.MasterOf(slot)

	i := slices.IndexFunc(c.nodes[:masters], func(node *Server) bool { return node != serving })

	return c.nodes[i]
}

func (m *Migration) id(node *Server) string {
	m.cluster.tb.Helper()

	id, err := node.id()
	m.must(err)

	return id
}

func (m *Migration) must(err error) {
	m.cluster.tb.Helper()

	if err != nil && err != redis.Nil { //nolint:errorlint // as go-redis returns it
		m.cluster.tb.Fatalf("moving slot %d: %v", m.slot, err)
	}
}

// Slot returns the slot of a key, as the servers compute it: CRC-16 of the key, or of the part of it within the first braces.
func Slot(key string) int {
	if _, behind, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(behind, "}"); ok && tag != "" {
			key = tag
		}
	}

	const polynomial = 0x1021

	sum := uint16(0)

	for i := range len(key) {
		sum ^= uint16(key[i]) << 8

		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ polynomial
			} else {
				sum <<= 1
			}
		}
	}

	return int(sum % slots)
}
