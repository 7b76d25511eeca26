package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// handshakePatience is how long a TLS handshake may take before the store tests whether the server answers without TLS.
	handshakePatience = time.Second
	// dialTimeout is the default of go-redis.
	dialTimeout = 5 * time.Second
)

// dialFunc makes a connection, as [net.Dialer.DialContext].
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialTLS makes connections with TLS. A Redis without TLS does not answer a handshake, because it waits for the end of a line. go-redis
// would report only a timeout.
func dialTLS(dial dialFunc, config *tls.Config, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()

		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}

		conn := tls.Client(raw, withServerName(config, address))
		handshake := make(chan error, 1)

		go func() { handshake <- conn.HandshakeContext(ctx) }()

		plain := false

		select {
		case err = <-handshake:
		case <-time.After(handshakePatience):
			if plain = speaksPlainly(ctx, dial, network, address); plain {
				cancel()
			}

			err = <-handshake
		}

		if err == nil && !plain {
			return conn, nil
		}

		_ = raw.Close()

		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || plain {
			return nil, errPlain(address)
		}

		return nil, fmt.Errorf("the TLS handshake with %s: %w", address, err)
	}
}

// speaksPlainly reports whether a server answers a command without TLS.
func speaksPlainly(ctx context.Context, dial dialFunc, network, address string) bool {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // the connection has no further use

	if conn.SetDeadline(time.Now().Add(handshakePatience)) != nil {
		return false
	}

	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}

	var first [1]byte

	n, _ := conn.Read(first[:])

	return n == 1 && (first[0] == '+' || first[0] == '-') // "+PONG", or an error such as "-NOAUTH"
}

func errPlain(address string) error {
	return fmt.Errorf("%s answers without TLS: write redis in place of rediss in the URL, or switch TLS on at the server", address)
}

// withServerName sets the server name that the certificate must have.
func withServerName(config *tls.Config, address string) *tls.Config {
	if config.ServerName != "" || config.InsecureSkipVerify {
		return config
	}

	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}

	config = config.Clone()
	config.ServerName = host

	return config
}
