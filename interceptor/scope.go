package interceptor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Scope separates callers: an answer is replayed within the scope in which it was given, and nowhere else. It is the security question of
// a server, so there is no default and no fallback: choose exactly one. A change of the scope makes the records of the old scope
// invisible, so that a retry across the change runs again.
//
// An operator needs a record's scope for onlyonce.Engine.Lookup. It is the URI, the DNS name, the metadata value or the function's result
// as it is, and "shared" for ScopeShared.
type Scope struct {
	of      func(ctx context.Context) (string, error)
	problem error // the reason why the scope is invalid; nil: none
}

// ScopeFromPeerURI separates callers by the URI in their client certificate, such as a SPIFFE ID. It takes verified
// certificates alone, with exactly one URI.
func ScopeFromPeerURI() Scope {
	return Scope{of: func(ctx context.Context) (string, error) {
		leaf, err := verifiedLeaf(ctx)
		if err != nil {
			return "", err
		}

		if len(leaf.URIs) != 1 {
			return "", fmt.Errorf("the client certificate has %d URIs and must have one", len(leaf.URIs))
		}

		return leaf.URIs[0].String(), nil
	}}
}

// ScopeFromPeerDNS separates callers by the DNS name in their client certificate. It takes verified certificates alone,
// with exactly one DNS name.
func ScopeFromPeerDNS() Scope {
	return Scope{of: func(ctx context.Context) (string, error) {
		leaf, err := verifiedLeaf(ctx)
		if err != nil {
			return "", err
		}

		if len(leaf.DNSNames) != 1 {
			return "", fmt.Errorf("the client certificate has %d DNS names and must have one", len(leaf.DNSNames))
		}

		return leaf.DNSNames[0], nil
	}}
}

// ScopeFromMetadata separates callers by a metadata value. Use it only for a value that an earlier interceptor, or the
// proxy in front of all traffic, has authenticated and that no caller can set: whoever can choose the value can read the
// answers of others. There must be exactly one value, and it must not be empty.
//
// NewServer fails if the name is invalid for metadata, such as "X Tenant" or "X-TENANT", if the contract or gRPC itself uses the name, or
// if the name ends in -bin.
func ScopeFromMetadata(name string) Scope {
	return Scope{problem: checkScopeName(name), of: func(ctx context.Context) (string, error) {
		value, ok := singleValue(metadata.ValueFromIncomingContext(ctx, name))
		if !ok {
			return "", fmt.Errorf("the call must have exactly one value of %q", name)
		}

		return value, nil
	}}
}

// checkScopeName reports metadata that cannot be a scope.
func checkScopeName(name string) error {
	const option = "ScopeFromMetadata"

	switch lower := strings.ToLower(name); {
	case name == "":
		return errors.New("interceptor: " + option + ` has an empty name: name the metadata that holds the caller, such as "x-tenant"`)
	case name != lower && sendable(lower):
		return fmt.Errorf("interceptor: %s has the name %q, and names of metadata are in lower case: write %q", option, name, lower)
	case !sendable(name):
		return errUnsendable(option, name)
	case reserved(name):
		return fmt.Errorf("interceptor: %s has the name %q, which gRPC or the contract itself uses: name the metadata in which your "+
			"authentication writes the caller", option, name)
	case strings.HasSuffix(name, "-bin"):
		return fmt.Errorf("interceptor: %s has the name %q, and a scope must be text: name metadata that does not end in -bin, or encode "+
			"the bytes in ScopeFunc", option, name)
	default:
		return nil
	}
}

// ScopeFunc separates callers by the result of a function, such as the subject that an auth interceptor has put into the context. Nil is
// no scope. The function is called on every keyed call, must return the same scope for the same caller for as long as records live, and
// is safe for concurrent use.
//
// An error, or an empty scope, rejects the call with SCOPE_MISSING. The error does not reach the caller. The engine's observer gets it as
// the cause of the rejection.
func ScopeFunc(of func(ctx context.Context) (string, error)) Scope { return Scope{of: of} }

// ScopeShared puts all callers into one scope: whoever knows a key and sends the same request gets the recorded answer.
// It is right where all callers are one party, such as the services of one team.
func ScopeShared() Scope {
	return Scope{of: func(context.Context) (string, error) { return "shared", nil }}
}

func verifiedLeaf(ctx context.Context) (*x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, errors.New("the call has no peer")
	}

	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, errors.New("the connection has no TLS client certificate")
	}

	chains := info.State.VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil, errors.New("the client certificate is missing or not verified")
	}

	return chains[0][0], nil
}
