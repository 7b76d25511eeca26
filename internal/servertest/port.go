package servertest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
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

// ProposePort returns a port that is probably free. Only binding it tells.
func ProposePort() int { return firstPort + rand.IntN(ports) }

// Address returns the host and port of a server here.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
