//go:build unix

package redistest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below those that a system gives to outgoing connections, and so are those of a cluster's bus, which
// are 10000 above: the port of a dead server is still free when it comes back.
const (
	firstPort = 11000
	ports     = 10000
)

// portAttempts is how many ports are tried.
const portAttempts = 50

// errPortTaken says that somebody else has the port.
var errPortTaken = errors.New("the port is taken")

// proposePort returns a port that is probably free. Only binding it tells.
func proposePort() int { return firstPort + rand.IntN(ports) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
