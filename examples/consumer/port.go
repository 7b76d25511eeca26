package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// freePort returns a free port. The broker keeps it across restarts. The port is below those of outgoing connections: while the broker is
// down, no client gets the port for its own end of a connection.
func freePort(ctx context.Context) (int, error) {
	const first, ports, attempts = 11_000, 10_000, 50

	for range attempts {
		port := first + rand.IntN(ports) //nolint:gosec // not a secret

		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}

	return 0, errors.New("no port is free")
}
