package interceptortest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/interceptor/interceptortest"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

type unary = grpc.UnaryServerInterceptor

func protection(t *testing.T, scope interceptor.Scope, opts ...interceptor.ServerOption) *interceptor.Server {
	t.Helper()

	engine, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	protect, err := interceptor.NewServer(engine, scope, opts...)
	if err != nil {
		t.Fatal(err)
	}

	return protect
}

// caller is the key of an authenticated caller in a context.
type caller struct{}

// authenticate accepts the bearers of a token.
func authenticate(ctx context.Context) (context.Context, error) {
	if token := metadata.ValueFromIncomingContext(ctx, "authorization"); len(token) != 1 || token[0] != "Bearer ann" {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	}

	return context.WithValue(ctx, caller{}, "ann"), nil
}

func authentication(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := authenticate(ctx)
	if err != nil {
		return nil, err
	}

	return handler(ctx, req)
}

func streamAuthentication(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if _, err := authenticate(stream.Context()); err != nil {
		return err
	}

	return handler(srv, stream)
}

// passing is an interceptor that does nothing to speak of.
func passing(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}

// timeout abandons its handler when it has expired.
func timeout(expired <-chan struct{}) unary {
	type result struct {
		resp any
		err  error
	}

	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		done := make(chan result, 1)

		go func() {
			resp, err := handler(ctx, req)
			done <- result{resp, err}
		}()

		select {
		case r := <-done:
			return r.resp, r.err
		case <-expired:
			return nil, status.Error(codes.DeadlineExceeded, "the handler takes too long")
		}
	}
}

var (
	owner    = interceptortest.Caller{Metadata: metadata.Pairs("authorization", "Bearer ann", "x-tenant", "acme")}
	stranger = interceptortest.Caller{Metadata: metadata.Pairs("x-tenant", "acme")}
)

func ofCaller() interceptor.Scope {
	return interceptor.ScopeFunc(func(ctx context.Context) (string, error) {
		name, ok := ctx.Value(caller{}).(string)
		if !ok {
			return "", errors.New("nobody has authenticated this call")
		}

		return name, nil
	})
}

func TestOrderOfInterceptorsIsChecked(t *testing.T) {
	const behind = "authentication is behind it or missing"

	shared, tenant := interceptor.ScopeShared(), interceptor.ScopeFromMetadata("x-tenant")
	ignored := interceptor.WithPolicy(interceptor.Policy{Key: interceptor.KeyIgnored})
	numbers := interceptor.WithPolicy(interceptor.Policy{KeyRules: &onlyonce.KeyRules{Alphabet: "0123456789"}})

	for name, test := range map[string]struct {
		scope    interceptor.Scope
		options  []interceptor.ServerOption
		chain    func(protect unary) []unary
		stranger interceptortest.Caller
		want     []string // in the problems; nil: there are none
	}{
		"the right order": {shared, nil, func(p unary) []unary { return []unary{passing, authentication, p} }, stranger, nil},
		"a harmless interceptor behind": {
			shared, nil, func(p unary) []unary { return []unary{authentication, p, passing} }, stranger, nil,
		},
		"a timeout in front": {
			shared, nil, func(p unary) []unary { return []unary{timeout(nil), authentication, timeout(nil), p} }, stranger, nil,
		},
		"the scope of authentication": {
			ofCaller(), nil, func(p unary) []unary { return []unary{authentication, p} }, stranger, nil,
		},
		"authentication behind": {
			shared, nil, func(p unary) []unary { return []unary{p, authentication} }, stranger,
			[]string{behind, "executed", "UNAUTHENTICATED", "left a record", "the right order is"},
		},
		"authentication behind, with a scope from metadata": {
			tenant, nil, func(p unary) []unary { return []unary{p, authentication} }, stranger, []string{behind, "left a record"},
		},
		"authentication behind, with the scope of authentication": {
			ofCaller(), nil, func(p unary) []unary { return []unary{p, authentication} }, stranger,
			[]string{behind, "cannot be identified", "a scope that accepts the owner"},
		},
		"no authentication": {shared, nil, func(p unary) []unary { return []unary{p} }, stranger, []string{behind, "executed"}},
		"no protection": {
			shared, nil, func(unary) []unary { return []unary{authentication} }, stranger,
			[]string{"the owner's call ran unprotected"},
		},
		"nothing at all": {shared, nil, func(unary) []unary { return []unary{passing} }, stranger, []string{"the stranger was accepted"}},
		"ignored keys": {
			shared, []interceptor.ServerOption{ignored}, func(p unary) []unary { return []unary{authentication, p} }, stranger,
			[]string{"not ignore the keys"},
		},
		"other keys": {
			shared, []interceptor.ServerOption{numbers}, func(p unary) []unary { return []unary{authentication, p} }, stranger,
			[]string{"invalid idempotency key", "onlyonce.NewKey"},
		},
		"a stranger who is none": {
			shared, nil, func(p unary) []unary { return []unary{authentication, p} }, owner, []string{behind},
		},
		"an owner who is refused": {
			shared, nil, func(p unary) []unary {
				return []unary{func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
					return nil, status.Error(codes.PermissionDenied, "nobody calls probes here")
				}, p}
			}, stranger, []string{"nobody calls probes here", interceptortest.ProbeMethod},
		},
		"a timeout behind": {
			shared, nil, func(p unary) []unary { return []unary{authentication, p, timeout(nil)} }, stranger,
			[]string{"on another goroutine", "MaxRun", "the right order is"},
		},
		"everything behind": {
			shared, nil, func(p unary) []unary { return []unary{p, timeout(nil)} }, stranger, []string{behind, "on another goroutine"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			protect := protection(t, test.scope, test.options...)
			server := grpc.NewServer(grpc.ChainUnaryInterceptor(test.chain(protect.Unary)...))

			mustFind(t, interceptortest.CheckOrder(t.Context(), server, owner, test.stranger), test.want...)
		})
	}
}

func mustFind(t *testing.T, err error, problems ...string) {
	t.Helper()

	if (err != nil) != (len(problems) > 0) {
		t.Fatalf("CheckOrder: %v, want %q", err, problems)
	}

	for _, problem := range problems {
		if !strings.Contains(strings.ReplaceAll(err.Error(), "Unauthenticated", "UNAUTHENTICATED"), problem) {
			t.Errorf("the problems do not mention %q:\n%v", problem, err)
		}
	}
}

func TestOptionsThatAreAppendedToThoseOfTheKitAreInTheWrongOrder(t *testing.T) {
	protect := protection(t, interceptor.ScopeShared())
	server := grpc.NewServer(append(protect.ServerOptions(), grpc.ChainUnaryInterceptor(authentication))...)

	mustFind(t, interceptortest.CheckOrder(t.Context(), server, owner, stranger), "authentication is behind it")
}

func TestStreamsAreCheckedIfTheServerHasAny(t *testing.T) {
	for name, test := range map[string]struct {
		chain func(protect *interceptor.Server) []grpc.StreamServerInterceptor
		want  []string
	}{
		"protected": {func(p *interceptor.Server) []grpc.StreamServerInterceptor {
			return []grpc.StreamServerInterceptor{streamAuthentication, p.Stream}
		}, nil},
		"not protected": {func(*interceptor.Server) []grpc.StreamServerInterceptor {
			return []grpc.StreamServerInterceptor{streamAuthentication}
		}, []string{"a stream with a key runs unprotected", "protect.Stream"}},
		"refused": {func(p *interceptor.Server) []grpc.StreamServerInterceptor {
			return []grpc.StreamServerInterceptor{func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
				return status.Error(codes.PermissionDenied, "no streams")
			}, p.Stream}
		}, []string{"no streams", interceptortest.ProbeStreamMethod}},
	} {
		t.Run(name, func(t *testing.T) {
			protect := protection(t, interceptor.ScopeShared())
			server := grpc.NewServer(grpc.ChainUnaryInterceptor(authentication, protect.Unary), grpc.ChainStreamInterceptor(test.chain(protect)...))
			pb.RegisterTestServiceServer(server, pb.UnimplementedTestServiceServer{})

			mustFind(t, interceptortest.CheckOrder(t.Context(), server, owner, stranger), test.want...)
		})
	}
}

// What a timeout behind the kit does, and that it is found.
func TestTimeoutBehindTheKitRunsSeveralHandlersOfOneKeyAtOnce(t *testing.T) {
	const callers = 3

	var (
		running, most atomic.Int64
		over          sync.WaitGroup
		goOn          = make(chan struct{})
		expired       = make(chan struct{}, callers)
	)

	atLeastOnce := interceptor.WithPolicy(interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})
	protect := protection(t, interceptor.ScopeShared(), atLeastOnce)
	behind := timeout(expired)

	over.Add(callers)

	for range callers {
		_, err := protect.Unary(
			metadata.NewIncomingContext(t.Context(), metadata.Pairs(interceptor.KeyHeader, "key")), &pb.SimpleRequest{},
			&grpc.UnaryServerInfo{FullMethod: pb.TestService_UnaryCall_FullMethodName},
			func(ctx context.Context, req any) (any, error) {
				return behind(ctx, req, nil, func(context.Context, any) (any, error) {
					defer over.Done()

					most.Store(max(most.Load(), running.Add(1)))
					expired <- struct{}{}

					<-goOn
					running.Add(-1)

					return &pb.SimpleResponse{}, nil
				})
			})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the call ended with %v", err)
		}
	}

	close(goOn)
	over.Wait()

	if n := most.Load(); n != callers {
		t.Errorf("%d handlers ran at once, want %d", n, callers)
	}

	fresh := protection(t, interceptor.ScopeShared(), atLeastOnce)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(authentication, fresh.Unary, timeout(nil)))
	mustFind(t, interceptortest.CheckOrder(t.Context(), server, owner, stranger), "on another goroutine")
}

// An unprotected call is one problem. CheckOrder must not also suspect the interceptors behind protect.Unary.
func TestCheckOrderReportsAnUnprotectedCallAlone(t *testing.T) {
	shadow := interceptor.Policy{Policy: onlyonce.Policy{Shadow: onlyonce.ShadowOn}}

	for name, policy := range map[string]interceptor.Policy{"shadow mode": shadow, "ignored keys": {Key: interceptor.KeyIgnored}} {
		t.Run(name, func(t *testing.T) {
			protect := protection(t, interceptor.ScopeShared(), interceptor.WithPolicy(policy))
			server := grpc.NewServer(grpc.ChainUnaryInterceptor(authentication, protect.Unary))

			err := interceptortest.CheckOrder(t.Context(), server, owner, stranger)
			mustFind(t, err, "the owner's call ran unprotected", "shadow mode")

			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one problem:\n%v", err)
			}
		})
	}
}
