package onceconnect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// certificate is a certificate that signs itself.
func certificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()

	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}

	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	leaf := must(x509.ParseCertificate(der))(t)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func TestTheScopeOfAClientCertificateNeedsHandler(t *testing.T) {
	for name, bare := range map[string]bool{"wrapped": false, "not wrapped": true} {
		t.Run(name, func(t *testing.T) {
			for protocol, opts := range protocols() {
				t.Run(protocol, func(t *testing.T) {
					own, trusted := certificate(t, "server.test")
					callers, callersPool := certificate(t, "caller.test")

					w := newWorld(t, setup{
						bare: bare, scope: interceptor.ScopeFromPeerDNS, tls: &tls.Config{
							Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: callersPool,
							MinVersion: tls.VersionTLS13,
						},
					})

					transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
						Certificates: []tls.Certificate{callers}, RootCAs: trusted, ServerName: "server.test", MinVersion: tls.VersionTLS13,
					}}
					t.Cleanup(transport.CloseIdleConnections)

					got := dialBy(&http.Client{Transport: transport}, w.url, opts...).payKeyed(t.Context(), "key")
					if bare {
						got.mustReject(t, onlyonce.ReasonScopeMissing)

						return
					}

					got.must(t, onlyonce.StatusExecuted)

					if got.err != nil {
						t.Error(got.err)
					}

					id := onlyonce.Identity{Scope: "caller.test", Method: payMethod, Key: "key"}
					if _, err := w.engine.Lookup(t.Context(), id); err != nil {
						t.Errorf("the record is not in the caller's scope: %v", err)
					}
				})
			}
		})
	}
}
