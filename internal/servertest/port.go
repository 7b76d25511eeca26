package servertest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below those that a system gives to outgoing connections, and so are those of a Redis cluster's bus,
// which are 10000 above: the port of a dead server is still free when it comes back.
const (
	firstPort = 11000
	ports     = 10000
)

// PortAttempts is how many ports are tried.
const PortAttempts = 50

// ErrPortTaken says that somebody else has the port.
var ErrPortTaken = errors.New("the port is taken")

// proposed has the ports that this process has proposed. A server that is dead may come back on its port.
var proposed sync.Map

// ProposePort returns a port that nobody listens on, and that it has not returned before. Another process may still bind it first. If it
// finds no such port in PortAttempts attempts, it returns any.
//
// If a test starts its server on a port that is taken, it asks somebody else whether the server is ready. A proxy of another test would
// record that.
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

// Address returns the host and port of a server here.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
