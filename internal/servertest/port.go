package servertest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range of ports is below the ports of outgoing connections. This also holds for the ports of a Redis cluster's bus, which are 10000
// above. So the port of a dead server is still free for a restart.
const (
	firstPort = 11000
	ports     = 10000
)

// PortAttempts is the number of ports to try.
const PortAttempts = 50

// ErrPortTaken means that another process uses the port.
var ErrPortTaken = errors.New("the port is taken")

// proposed contains the ports that this process has proposed. They stay reserved for restarted servers.
var proposed sync.Map

// ProposePort returns a free port that it has not returned before. Another process may still bind it first. After PortAttempts attempts, it
// returns any port.
//
// A server test that starts on a used port would talk to a foreign server, such as a proxy of another test.
func ProposePort() int {
	port := 0

	for range PortAttempts {
		port = firstPort + rand.IntN(ports)
		if _, again := proposed.LoadOrStore(port, true); !again && isFree(port) {
			break
		}
	}

	return port
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", Address(port))
	if err != nil {
		return false
	}

	return listener.Close() == nil
}

// Address returns the address of a local server.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
