package interceptor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()

	a := &authority{}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issued := a.issue(t, template)
	a.cert, a.key = issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey) //nolint:errcheck // issue makes this type

	return a
}

// issue signs a certificate; the first one is the authority's own.
func (a *authority) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)

	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}

	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}

	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)

	return pool
}

// client issues the certificate of a client with names.
func (a *authority) client(t *testing.T, names ...string) tls.Certificate {
	t.Helper()

	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}

	for _, name := range names {
		if !strings.Contains(name, "://") {
			template.DNSNames = append(template.DNSNames, name)

			continue
		}

		uri, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}

		template.URIs = append(template.URIs, uri)
	}

	return a.issue(t, template)
}

// startTLS starts a server that requests certificates from clients.
func (a *authority) startTLS(t *testing.T, scope func() interceptor.Scope, demand tls.ClientAuthType) *world {
	t.Helper()

	server := a.issue(t, &x509.Certificate{DNSNames: []string{"server.test"}})

	return start(t, setup{scope: scope, serverCreds: credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{server}, ClientAuth: demand, ClientCAs: a.pool(), MinVersion: tls.VersionTLS13,
	})}, nil)
}

// as opens a connection with client certificates.
func (a *authority) as(t *testing.T, w *world, certs ...tls.Certificate) *grpc.ClientConn {
	t.Helper()

	return w.dial(t, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: certs, RootCAs: a.pool(), ServerName: "server.test", MinVersion: tls.VersionTLS13,
	})))
}

func payOn(t *testing.T, conn *grpc.ClientConn) answer {
	t.Helper()

	return callOn(withKey(t.Context(), "key"), conn, unaryCall, payment())
}

const (
	annURI, bobURI = "spiffe://bank.test/ann", "spiffe://bank.test/bob"
	annDNS, bobDNS = "ann.bank.test", "bob.bank.test"
)

func TestPeerScopesSeparateVerifiedCallers(t *testing.T) {
	scopes := map[string]struct {
		of       func() interceptor.Scope
		ann, bob string
	}{
		"URI": {of: interceptor.ScopeFromPeerURI, ann: annURI, bob: bobURI},
		"DNS": {of: interceptor.ScopeFromPeerDNS, ann: annDNS, bob: bobDNS},
	}

	for name, scope := range scopes {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			w := ca.startTLS(t, scope.of, tls.RequireAndVerifyClientCert)

			ann := ca.as(t, w, ca.client(t, scope.ann))
			payOn(t, ann).mustAnswer(t, "run 1")
			payOn(t, ca.as(t, w, ca.client(t, scope.bob))).mustAnswer(t, "run 2")

			// Another certificate of the same caller, as after a rotation.
			again := payOn(t, ca.as(t, w, ca.client(t, scope.ann)))
			again.mustAnswer(t, "run 1")
			again.mustHaveStatus(t, onlyonce.StatusReplayed)
			w.mustHaveRun(t, 2)
		})
	}
}

func TestPeerScopesNeedExactlyOneName(t *testing.T) {
	ca := newAuthority(t)
	byURI := ca.startTLS(t, interceptor.ScopeFromPeerURI, tls.RequireAndVerifyClientCert)
	byDNS := ca.startTLS(t, interceptor.ScopeFromPeerDNS, tls.RequireAndVerifyClientCert)

	for _, names := range [][]string{{}, {annDNS}, {annURI, bobURI}, {annURI, bobURI, annDNS}} {
		payOn(t, ca.as(t, byURI, ca.client(t, names...))).mustBe(t, scopeMissing)
	}

	for _, names := range [][]string{{}, {annURI}, {annDNS, bobDNS}, {annDNS, bobDNS, annURI}} {
		payOn(t, ca.as(t, byDNS, ca.client(t, names...))).mustBe(t, scopeMissing)
	}

	// A name of the other kind does not disturb.
	payOn(t, ca.as(t, byURI, ca.client(t, annURI, annDNS, bobDNS))).mustAnswer(t, "run 1")
	payOn(t, ca.as(t, byDNS, ca.client(t, annDNS, annURI, bobURI))).mustAnswer(t, "run 1")
}

func TestPeerScopesTakeVerifiedCertificatesAlone(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)

	for name, scope := range map[string]func() interceptor.Scope{"URI": interceptor.ScopeFromPeerURI, "DNS": interceptor.ScopeFromPeerDNS} {
		t.Run(name, func(t *testing.T) {
			// The server requests a certificate and does not verify its issuer.
			lax := ca.startTLS(t, scope, tls.RequireAnyClientCert)
			payOn(t, ca.as(t, lax, stranger.client(t, annURI, annDNS))).mustBe(t, scopeMissing)
			payOn(t, ca.as(t, lax, ca.client(t, annURI, annDNS))).mustBe(t, scopeMissing)

			optional := ca.startTLS(t, scope, tls.VerifyClientCertIfGiven)
			payOn(t, ca.as(t, optional)).mustBe(t, scopeMissing)
			payOn(t, ca.as(t, optional, ca.client(t, annURI, annDNS))).mustAnswer(t, "run 1")

			plain := start(t, setup{scope: scope}, nil)
			plain.pay(t, "key").mustBe(t, scopeMissing)
		})
	}
}
