package interceptor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// halves are the two client interceptors, to be used apart.
func halves(t *testing.T) (key, again grpc.UnaryClientInterceptor) {
	t.Helper()

	key, err := interceptor.UnaryClientKeyInterceptor(interceptor.WithAllMethods())
	if err != nil {
		t.Fatal(err)
	}

	again, err = interceptor.UnaryClientRetryInterceptor(interceptor.WithAllMethods())
	if err != nil {
		t.Fatal(err)
	}

	return key, again
}

func TestHalvesComposeToTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable(), unavailable(), paid()))
		key, again := halves(t)

		a := callOn(t.Context(), w.dial(t, grpc.WithChainUnaryInterceptor(key, again)), unaryCall, payment())
		a.mustAnswer(t, "paid")

		keys := seen.values("idempotency-key")
		if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] || strings.Count(keys[0], "|") != 1 {
			t.Errorf("the attempts had the keys %q", keys)
		}
	})
}

func TestKeyHalfAloneWorksUnderAnothersRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable(), unavailable(), paid()))
		key, _ := halves(t)

		conn := w.dial(t, nativeRetry(), grpc.WithUnaryInterceptor(key))
		callOn(t.Context(), conn, unaryCall, payment()).mustAnswer(t, "paid")

		keys := seen.values("idempotency-key")
		if len(keys) != 3 || keys[0] == "" || keys[0] != keys[2] {
			t.Errorf("the attempts had the keys %q", keys)
		}
	})
}

func TestRetryHalfAloneTakesTheCallersKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable(), paid()))
		_, again := halves(t)

		conn := w.dial(t, grpc.WithUnaryInterceptor(again))
		callOn(withKey(t.Context(), "mine"), conn, unaryCall, payment()).mustAnswer(t, "paid")

		if got := strings.Join(seen.values("idempotency-key"), ""); got != "mine|mine|" {
			t.Errorf("the attempts had the keys %q", got)
		}
	})
}

func TestF52_KeyInsideTheRetryLoopIsRefused(t *testing.T) {
	w := start(t, setup{}, nil)
	key, again := halves(t)

	a := callOn(t.Context(), w.dial(t, grpc.WithChainUnaryInterceptor(again, key)), unaryCall, payment())
	if status.Code(a.err) != codes.Internal || !strings.Contains(a.err.Error(), "UnaryClientKeyInterceptor") {
		t.Errorf("the answer is %v, %v", a.resp, a.err)
	}

	w.mustHaveRun(t, 0)

	if got := onlyonce.VerdictOf(a.err); got != onlyonce.VerdictFinal {
		t.Errorf("the outcome is %v: trying again is of no use", got)
	}
}

func TestF52_UsersCanTestTheirOwnChain(t *testing.T) {
	// A user's own retry loop in front of the key would do this: a new key for every attempt.
	key, _ := halves(t)
	seen := &arrivals{}
	w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))

	loop := func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		for range 2 {
			_ = invoker(ctx, method, req, reply, cc, opts...)
		}

		return nil
	}
	callOn(t.Context(), w.dial(t, grpc.WithChainUnaryInterceptor(loop, key)), unaryCall, payment())

	if keys := seen.values("idempotency-key"); len(keys) != 2 || keys[0] == keys[1] {
		t.Errorf("the attempts had the keys %q", keys)
	}
}

func TestServerOptionsGoBehindThoseGivenBefore(t *testing.T) {
	allowed := false
	protect, err := interceptor.NewServer(engine(t), noScope())

	if err != nil {
		t.Fatal(err)
	}

	l := listen(t, false)
	w := &world{service: &service{}, listener: l}
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(authorised(&allowed)...)}, protect.ServerOptions()...)...)
	pb.RegisterTestServiceServer(server, w.service)

	go func() { _ = server.Serve(l) }()
	defer server.Stop()

	w.conn = w.dial(t)
	w.pay(t, "key").mustFail(t, codes.PermissionDenied, "go away")

	allowed = true
	w.pay(t, "key").mustBe(t, scopeMissing)
}

func TestStreamsAreNotTouched(t *testing.T) {
	w := start(t, setup{}, nil)

	stream, err := pb.NewTestServiceClient(w.clientConn(t)).FullDuplexCall(withKey(t.Context(), "key"))
	if err != nil {
		t.Fatal(err)
	}

	if _, err = stream.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("the stream ended with %v", err)
	}
}
