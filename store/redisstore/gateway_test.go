package redisstore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gateway is one address in front of changing servers, as providers have it. A connection stays with its server.
type gateway struct {
	listener net.Listener
	ca       string // the file of its certificate authority, if it has TLS
	serving  sync.WaitGroup

	mu       sync.Mutex
	target   string
	rewrites bool // whether errors get "ERR " before them
	conns    map[net.Conn]*tunnel

	tried atomic.Int64 // connections that were used after they had died
}

// tunnel is a connection through the gateway.
type tunnel struct {
	mu   sync.Mutex
	dead bool // nothing passes, without a sign

	try func() // is called when something does not pass
}

func newGateway(t *testing.T, target string, secure bool) *gateway {
	t.Helper()

	g := &gateway{target: target, conns: make(map[net.Conn]*tunnel)}

	var err error
	if g.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	if secure {
		var certificate tls.Certificate

		certificate, g.ca = privateCertificate(t)
		g.listener = tls.NewListener(g.listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}

	g.serving.Go(g.serve)

	t.Cleanup(func() {
		_ = g.listener.Close()

		g.mu.Lock()
		for conn := range g.conns {
			_ = conn.Close()
		}
		g.mu.Unlock()

		g.serving.Wait()
	})

	return g
}

// addr is the host and port.
func (g *gateway) addr() string { return g.listener.Addr().String() }

// url is the address for Open, with options.
func (g *gateway) url(options string) string {
	if g.ca != "" {
		return "rediss://" + g.addr() + "?ca_file=" + g.ca + options
	}

	return "redis://" + g.addr() + "?" + options
}

// lead leads new connections to another server.
func (g *gateway) lead(target string) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.target = target
}

// rewrite decides whether errors of new connections get "ERR " before them.
func (g *gateway) rewrite(rewrites bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.rewrites = rewrites
}

// open is how many connections there are.
func (g *gateway) open() int {
	g.mu.Lock()
	defer g.mu.Unlock()

	return len(g.conns)
}

// forget lets all connections die in silence. New ones work.
func (g *gateway) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()

	for _, tunnel := range g.conns {
		tunnel.mu.Lock()
		tunnel.dead = true
		tunnel.mu.Unlock()
	}
}

func (g *gateway) serve() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}

		g.serving.Go(func() { g.connect(client) })
	}
}

func (g *gateway) connect(client net.Conn) {
	through := &tunnel{try: sync.OnceFunc(func() { g.tried.Add(1) })}

	g.mu.Lock()
	target, rewrites := g.target, g.rewrites
	g.conns[client] = through
	g.mu.Unlock()

	defer func() {
		_ = client.Close()

		g.mu.Lock()
		delete(g.conns, client)
		g.mu.Unlock()
	}()

	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()

	g.serving.Go(func() {
		defer client.Close()

		through.pass(client, server, func(reply []byte) []byte {
			if rewrites {
				reply = bytes.ReplaceAll(reply, []byte("-READONLY "), []byte("-ERR READONLY "))
			}

			return reply
		})
	})

	through.pass(server, client, func(request []byte) []byte { return request })
}

// pass copies bytes from one side to the other.
func (x *tunnel) pass(to, from net.Conn, change func([]byte) []byte) {
	for buf := make([]byte, 1<<16); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}

		x.mu.Lock()
		dead := x.dead
		x.mu.Unlock()

		if dead {
			x.try()

			continue
		}

		if _, err := to.Write(change(buf[:n])); err != nil {
			return
		}
	}
}

// privateCertificate is a certificate for this machine, and the file of the authority that has issued it.
func privateCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
