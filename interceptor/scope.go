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

// Scope separates callers: an answer is replayed only within the scope in which it was given. The scope decides who can read the answers of
// whom, so there is no default and no fallback. Choose exactly one of the functions below; NewServer refuses the zero value.
//
// If a scope finds no caller, the call is rejected with IDEMPOTENCY_SCOPE_MISSING, and nothing runs. If you change the scope of a server,
// the records of the old scope become invisible. A retry across the change runs again.
//
// An operator needs a record's scope for onlyonce.Engine.Lookup. It is the URI, the DNS name, the metadata value or the function's result
// as it is, and "shared" for ScopeShared.
type Scope struct {
	of      func(ctx context.Context) (string, error)
	problem error // the reason why the scope is invalid; nil: none
}

// ScopeFromPeerURI separates callers by the URI in their client certificate, such as a SPIFFE ID. The certificate must be verified and have
// exactly one URI.
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

// ScopeFromPeerDNS separates callers by the DNS name in their client certificate. The certificate must be verified and have exactly one DNS
// name.
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

// ScopeFromMetadata separates callers by a metadata value. A call must have exactly one value, which is not empty.
//
// Use only metadata that no caller can set, and whose value an earlier interceptor or the proxy in front of all traffic has authenticated.
// A caller who can choose the value can read the answers of others.
//
// NewServer fails for these names:
//   - a name that is invalid for metadata, such as "X Tenant" or "X-TENANT",
//   - a name that the contract or gRPC itself uses,
//   - a name that ends in -bin.
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

// ScopeFunc separates callers by the result of a function, such as the subject that an authentication interceptor has put into the context.
// NewServer refuses nil.
//   - The function is called on every keyed call. It must be safe for concurrent use.
//   - It must return the same scope for the same caller for as long as records live.
//   - An error, or an empty scope, rejects the call with IDEMPOTENCY_SCOPE_MISSING. The engine's observer gets the error as the cause of
//     the rejection. The caller does not get it.
func ScopeFunc(of func(ctx context.Context) (string, error)) Scope { return Scope{of: of} }

// ScopeShared puts all callers into one scope: whoever knows a key and sends the same request gets the recorded answer. Use it if all
// callers are one party, such as the services of one team. The name of the scope is "shared".
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
