package main

import (
	"context"
	"errors"
	"net"
)

// freePort returns a free port. The broker keeps it across restarts.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close() //nolint:errcheck // it has served nobody

	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("the listener has no port")
	}

	return address.Port, nil
}
