//go:build unix

package redistest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Network is a set of sites with a router between them, all network namespaces. A server at a site has the address of the site. This
// process can reach every site, even if the sites cannot reach each other.
//
// It needs Linux, root and the program ip. Without them it fails the test with a message.
type Network struct {
	tb     testing.TB
	name   string // begins the names of all its parts
	prefix string // of its addresses, without the last number
	sites  int
}

// networkAttempts is how many ranges of addresses are tried.
const networkAttempts = 10

// NewNetwork creates a network. It is removed at the end of the test.
func NewNetwork(tb testing.TB, sites int) *Network {
	tb.Helper()

	var failed error

	for range networkAttempts {
		var dice [3]byte
		_, _ = rand.Read(dice[:])

		n := &Network{
			tb: tb, name: "oo" + hex.EncodeToString(dice[:]), prefix: fmt.Sprintf("10.%d.%d.", 64+dice[0]%128, dice[1]), sites: sites,
		}

		if failed = n.build(); failed == nil {
			tb.Cleanup(n.remove)

			return n
		}

		n.remove()
	}

	tb.Fatalf("a test of partitions cannot make network namespaces: run it as root on Linux, with ip (Debian: apt-get install iproute2): %v",
		failed)

	return nil
}

// build creates the parts: for this process and for each site, a pair of interfaces with the router at the other end.
func (n *Network) build() error {
	router, here := n.router(), n.name

	var script strings.Builder

	line := func(format string, args ...any) { fmt.Fprintf(&script, format+"\n", args...) }

	line("netns add %s", router)
	line("link add %s type veth peer name %s netns %s", here, here, router)

	for site := range n.sites {
		line("netns add %s", n.site(site))
		line("link add %s-%d netns %s type veth peer name eth netns %s", here, site, router, n.site(site))
	}

	line("addr add %s dev %s", n.Host(-1), here)
	line("link set %s up", here)
	line("route add %s0/24 via %s dev %s onlink", n.prefix, n.gateway(), here)

	if err := ip(script.String(), "-batch", "-"); err != nil {
		return err
	}

	// The router has one address for all its interfaces.
	script.Reset()
	line("link set lo up")
	line("addr add %s dev lo", n.gateway())
	line("link set %s up", here)
	line("route add %s dev %s", n.Host(-1), here)

	for site := range n.sites {
		line("link set %s-%d up", here, site)
		line("route add %s dev %s-%d", n.Host(site), here, site)
	}

	if err := ip(script.String(), "-n", router, "-batch", "-"); err != nil {
		return err
	}

	if err := ip("", "netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"); err != nil {
		return err
	}

	for site := range n.sites {
		script.Reset()
		line("link set lo up")
		line("addr add %s dev eth", n.Host(site))
		line("link set eth up")
		line("route add default via %s dev eth onlink", n.gateway())

		if err := ip(script.String(), "-n", n.site(site), "-batch", "-"); err != nil {
			return err
		}
	}

	return nil
}

// remove removes the parts that exist. Interfaces and routes disappear with their namespaces.
func (n *Network) remove() {
	_ = ip("", "link", "del", n.name)

	for site := range n.sites {
		_ = ip("", "netns", "del", n.site(site))
	}

	_ = ip("", "netns", "del", n.router())
}

// Host returns the address of a site.
func (n *Network) Host(site int) string { return fmt.Sprintf("%s%d", n.prefix, site+10) }

func (n *Network) gateway() string { return n.prefix + "1" }

func (n *Network) router() string { return n.name + "-router" }

func (n *Network) site(site int) string { return fmt.Sprintf("%s-%d", n.name, site) }

// Isolate drops all packets between a site and the other sites, in both directions. Connections stay open.
func (n *Network) Isolate(site int) { n.rules("add", site) }

// Join ends an Isolate.
func (n *Network) Join(site int) { n.rules("del", site) }

func (n *Network) rules(verb string, site int) {
	n.tb.Helper()

	var script strings.Builder

	for other := range n.sites {
		if other != site {
			fmt.Fprintf(&script, "rule %s from %s to %s blackhole\n", verb, n.Host(site), n.Host(other))
			fmt.Fprintf(&script, "rule %s from %s to %s blackhole\n", verb, n.Host(other), n.Host(site))
		}
	}

	if err := ip(script.String(), "-n", n.router(), "-batch", "-"); err != nil {
		n.tb.Fatal(err)
	}
}

// command runs a program at a site.
func (n *Network) command(site int, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.site(site)}, args...)...)
}

func ip(script string, args ...string) error {
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(script)

	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(said)))
	}

	return nil
}
