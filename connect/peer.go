package onceconnect

import (
	"context"
	"crypto/tls"

	"connectrpc.com/connect"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// tlsKey is the key of the connection's TLS state in a context. [Handler] sets it, because connect-go does not show it to interceptors.
type tlsKey struct{}

// withTLS returns a context with the TLS state of the connection. Nil means that the connection has no TLS.
func withTLS(ctx context.Context, state *tls.ConnectionState) context.Context {
	if state == nil {
		return ctx
	}

	return context.WithValue(ctx, tlsKey{}, state)
}

// peerOf returns the caller of a call as grpc-go would describe it.
func peerOf(ctx context.Context, from connect.Peer) peer.Peer {
	p := peer.Peer{Addr: address(from.Addr)}
	if state, ok := ctx.Value(tlsKey{}).(*tls.ConnectionState); ok {
		p.AuthInfo = credentials.TLSInfo{
			State: *state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		}
	}

	return p
}

// address is the address of a peer, as in "10.0.0.1:443".
type address string

// Network implements [net.Addr].
func (address) Network() string { return "tcp" }

// String implements [net.Addr].
func (a address) String() string { return string(a) }
