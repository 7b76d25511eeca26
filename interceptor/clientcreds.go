package interceptor

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/onlyonce-go/onlyonce"
)

// keyCredentials send a key on a connection that has no client interceptor.
type keyCredentials string

// GetRequestMetadata returns the key. An error fails the call with INTERNAL before it is sent. gRPC does not let credentials fail a call
// with INVALID_ARGUMENT: see https://github.com/grpc/proposal/blob/master/A54-restrict-control-plane-status-codes.md.
func (k keyCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	key := string(k)

	switch present, values := outgoingKeys(ctx); {
	case values == 1 && present == key:
		return map[string]string{}, nil
	case values > 0:
		return nil, fmt.Errorf("interceptor: the outgoing metadata has another %s than WithKey: set the key in one place", KeyHeader)
	}

	if err := (onlyonce.KeyRules{}).Check(key); err != nil {
		return nil, fmt.Errorf("interceptor: WithKey: %w", err)
	}

	return map[string]string{KeyHeader: key}, nil
}

// RequireTransportSecurity returns false: a key is no secret.
func (keyCredentials) RequireTransportSecurity() bool { return false }

// replicaGuard blocks a retry to replicas that may not protect the method. In the first attempt it only observes. It wraps the caller's
// credentials, because gRPC calls credentials after it has picked a replica and before it sends the request.
type replicaGuard struct {
	credentials.PerRPCCredentials // the caller's; nil: none

	method       string
	confirmation *confirmation
	armed        atomic.Bool // it may block: an earlier attempt may have reached a server
	called       atomic.Bool // gRPC has called it for the last attempt
	refused      atomic.Bool // the last retry was blocked
}

func (g *replicaGuard) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	g.called.Store(true)

	if to, ok := peer.FromContext(ctx); ok && g.armed.Load() {
		replica := replicaAt(to.Addr)
		trusted := g.confirmation.of(replica).trusted()
		g.refused.Store(!trusted)

		if !trusted {
			return nil, errDistrusted(g.method, replica)
		}
	}

	if g.PerRPCCredentials == nil {
		return map[string]string{}, nil
	}

	return g.PerRPCCredentials.GetRequestMetadata(ctx, uri...)
}

func (g *replicaGuard) RequireTransportSecurity() bool {
	return g.PerRPCCredentials != nil && g.PerRPCCredentials.RequireTransportSecurity()
}

// credentialsOf returns the credentials of a call, or nil. The last option counts. It may be embedded in another option.
func credentialsOf(opts []grpc.CallOption) credentials.PerRPCCredentials {
	for _, opt := range slices.Backward(opts) {
		if creds, ok := credentialsIn(reflect.ValueOf(opt)); ok {
			return creds
		}
	}

	return nil
}

// credentialsIn returns the credentials of an option, and reports whether the option sets any. Each option that is not gRPC's embeds one
// of gRPC, whose unexported methods it needs. If it embeds several, the least deeply embedded one counts, as Go promotes its methods.
func credentialsIn(opt reflect.Value) (credentials.PerRPCCredentials, bool) {
	callOption := reflect.TypeFor[grpc.CallOption]()

	for level := []reflect.Value{opt}; len(level) > 0; {
		var deeper []reflect.Value

		for _, v := range level {
			if v = reflect.Indirect(v); !v.IsValid() || !v.Type().Implements(callOption) {
				continue
			}

			switch {
			case v.Kind() == reflect.Interface:
				return credentialsIn(v.Elem())
			case v.Type() == reflect.TypeFor[grpc.PerRPCCredsCallOption]() && v.Field(0).CanInterface():
				creds, _ := reflect.TypeAssert[credentials.PerRPCCredentials](v.Field(0))

				return creds, true
			case v.Type().PkgPath() == callOption.PkgPath():
				return nil, false
			}

			deeper = append(deeper, embeddedIn(v)...)
		}

		level = deeper
	}

	return nil, false
}

// embeddedIn returns the embedded fields of a value.
func embeddedIn(v reflect.Value) (fields []reflect.Value) {
	if v.Kind() != reflect.Struct {
		return nil
	}

	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			fields = append(fields, v.Field(i))
		}
	}

	return fields
}
