package oncehttp

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
)

// Scope separates callers who must not see each other's answers. The same key of two scopes names two different operations. Make one with
// ScopeFunc, ScopeFromPeerURI, ScopeFromPeerDNS, ScopeFromHeader or ScopeShared.
type Scope struct {
	of      func(r *http.Request) (string, error)
	problem error
}

// ScopeFunc separates callers by the result of a function, such as the subject that an authentication in front has put into the context.
// The function is called on every keyed request. It must return the same scope for the same caller for as long as records live, and be
// safe for concurrent use.
//
// An error, or an empty scope, rejects the request with IDEMPOTENCY_SCOPE_MISSING. The error does not reach the caller. The engine's
// observer gets it as the cause of the rejection. Middleware and NewServer refuse nil.
func ScopeFunc(of func(r *http.Request) (string, error)) Scope { return Scope{of: of} }

// ScopeShared puts all callers into one scope: whoever knows a key and sends the same request gets the recorded answer. Use it if all
// callers are one party, such as the services of one team. The name of the scope is "shared".
func ScopeShared() Scope {
	return Scope{of: func(*http.Request) (string, error) { return "shared", nil }}
}

// ScopeFromHeader separates callers by the value of a header. Use it only for a header that an authentication in front sets and that no
// caller can set: whoever can choose the value can read the answers of others. There must be exactly one value, and it must not be empty.
func ScopeFromHeader(name string) Scope {
	s := Scope{of: func(r *http.Request) (string, error) {
		values := r.Header.Values(name)
		if len(values) != 1 || values[0] == "" {
			return "", fmt.Errorf("the request must have exactly one value of %s", name)
		}

		return values[0], nil
	}}

	if !isToken(name) {
		s.problem = fmt.Errorf("oncehttp: ScopeFromHeader has %q, which is no name of a header: name the header that your authentication "+
			"sets", name)
	}

	return s
}

// ScopeFromPeerURI separates callers by the URI in their verified client certificate, such as a SPIFFE ID. There must be exactly one URI.
func ScopeFromPeerURI() Scope {
	return Scope{of: func(r *http.Request) (string, error) {
		leaf, err := verifiedLeaf(r)
		if err != nil {
			return "", err
		}

		if len(leaf.URIs) != 1 {
			return "", fmt.Errorf("the client certificate has %d URIs and must have one", len(leaf.URIs))
		}

		return leaf.URIs[0].String(), nil
	}}
}

// ScopeFromPeerDNS separates callers by the DNS name in their verified client certificate. There must be exactly one DNS name.
func ScopeFromPeerDNS() Scope {
	return Scope{of: func(r *http.Request) (string, error) {
		leaf, err := verifiedLeaf(r)
		if err != nil {
			return "", err
		}

		if len(leaf.DNSNames) != 1 {
			return "", fmt.Errorf("the client certificate has %d DNS names and must have one", len(leaf.DNSNames))
		}

		return leaf.DNSNames[0], nil
	}}
}

func verifiedLeaf(r *http.Request) (*x509.Certificate, error) {
	switch {
	case r.TLS == nil:
		return nil, errors.New("the connection has no TLS client certificate")
	case len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0:
		return nil, errors.New("the client certificate is missing or not verified")
	default:
		return r.TLS.VerifiedChains[0][0], nil
	}
}
