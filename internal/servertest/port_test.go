package servertest

import (
	"math/rand/v2"
	"net"
	"testing"
)

func TestProposedPortsAreFreeAndProposedOnce(t *testing.T) {
	t.Parallel()

	const taken, proposals = 100, 500

	seen := make(map[int]bool) // taken by this test, or proposed

	for range taken {
		port := firstPort + rand.IntN(ports)

		if listener, err := net.Listen("tcp", Address(port)); err == nil {
			t.Cleanup(func() { listener.Close() })

			seen[port] = true
		}
	}

	for range proposals {
		port := ProposePort()
		if seen[port] {
			t.Fatalf("port %d is taken, or proposed twice", port)
		}

		seen[port] = true
	}
}
