package servertest

import (
	"net"
	"testing"
)

func TestProposedPortsAreFreeAndProposedOnce(t *testing.T) {
	t.Parallel()

	seen := make(map[int]bool)

	for range 500 {
		port := ProposePort()
		if seen[port] {
			t.Fatalf("port %d is proposed twice", port)
		}

		seen[port] = true

		listener, err := net.Listen("tcp", Address(port))
		if err != nil {
			t.Fatalf("a proposed port is taken: %v", err)
		}

		free := isFree(port)
		listener.Close()

		if free {
			t.Fatalf("port %d has a listener and is called free", port)
		}
	}
}
