package redisstore

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate is one for localhost, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}

	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	pool := x509.NewCertPool()
	pool.AddCert(leaf)

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// plain is a Redis without TLS: it answers lines, and reads no line in a TLS handshake.
func plain(conn net.Conn) {
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}

		if line == "PING\r\n" {
			_, _ = io.WriteString(conn, "-NOAUTH Authentication required.\r\n")
		}
	}
}

// mute reads and does not answer.
func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// outraged answers anything with an error.
func outraged(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	go mute(conn)

	_, _ = io.WriteString(conn, "-ERR Protocol error: unbalanced quotes in request\r\n")
}

func TestF87AServerWithoutTLSIsDistinguishedFromASlowServer(t *testing.T) {
	const plainly = "localhost:6379 answers without TLS: write redis in place of rediss"

	for name, test := range map[string]struct {
		serve   func(cert tls.Certificate) func(net.Conn)
		address string
		within  time.Duration
		want    string // of the error; empty: there is a connection
	}{
		"TLS":                  {after(0), "localhost:6379", 0, ""},
		"slow TLS":             {after(3 * time.Second), "localhost:6379", 3 * time.Second, ""},
		"another name":         {after(0), "elsewhere:6379", 0, "the TLS handshake with elsewhere:6379: tls: failed to verify certificate"},
		"no TLS":               {always(plain), "localhost:6379", time.Second, plainly},
		"no TLS, and an error": {always(outraged), "localhost:6379", 0, plainly},
		"no answer":            {always(mute), "localhost:6379", 5 * time.Second, "with localhost:6379: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute) // of fake time, in which every server ends

				cert, pool := certificate(t)
				serve := test.serve(cert)
				begin := time.Now()

				dial := dialTLS(func(context.Context, string, string) (net.Conn, error) {
					here, there := net.Pipe()
					go func() {
						defer there.Close()
						serve(there)
					}()

					return here, nil
				}, &tls.Config{RootCAs: pool}, 5*time.Second)

				conn, err := dial(t.Context(), "tcp", test.address)
				if conn != nil {
					defer conn.Close()
				}

				if took := time.Since(begin); took != test.within {
					t.Errorf("it took %v, want %v", took, test.within)
				}

				if test.want == "" && (err != nil || conn == nil) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("the connection is %v, %v, want %q", conn, err, test.want)
				}
			})
		})
	}
}

// after is a server with TLS that answers after a delay.
func after(delay time.Duration) func(tls.Certificate) func(net.Conn) {
	return func(cert tls.Certificate) func(net.Conn) {
		return func(conn net.Conn) {
			time.Sleep(delay)

			secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
			if secured.Handshake() == nil {
				mute(secured)
			}
		}
	}
}

func always(serve func(net.Conn)) func(tls.Certificate) func(net.Conn) {
	return func(tls.Certificate) func(net.Conn) { return serve }
}

func TestAConnectionThatCannotBeMadeIsReportedAsItIs(t *testing.T) {
	refused := errors.New("refused")
	dial := dialTLS(func(context.Context, string, string) (net.Conn, error) { return nil, refused }, new(tls.Config), time.Second)

	if conn, err := dial(t.Context(), "tcp", "localhost:6379"); conn != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v", conn, err)
	}
}
