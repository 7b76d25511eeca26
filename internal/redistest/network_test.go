//go:build unix

package redistest

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestAnIsolatedSiteIsReachedByThisProcessAlone(t *testing.T) {
	t.Parallel()

	network := NewNetwork(t, 2)
	one, other := StandaloneAt(network, 0), StandaloneAt(network, 1)

	// A key moves from server to server.
	move := func(from, to *Server, timeout time.Duration) error {
		host, port, err := net.SplitHostPort(to.Addr())
		if err != nil {
			t.Fatal(err)
		}

		if err := from.Client().Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}

		return from.Client().Do(t.Context(), "migrate", host, port, "key", 0, timeout.Milliseconds(), "replace").Err()
	}

	for range 2 {
		if err := move(one, other, time.Minute); err != nil {
			t.Errorf("before: %v", err)
		}

		network.Isolate(0)

		for _, pair := range [][2]*Server{{one, other}, {other, one}} {
			if err := move(pair[0], pair[1], 300*time.Millisecond); err == nil || !strings.Contains(err.Error(), "IOERR") {
				t.Errorf("an isolated site is reached: %v", err)
			}
		}

		network.Join(0)
	}

	if err := move(other, one, time.Minute); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
