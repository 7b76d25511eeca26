package interceptor_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func TestKeyIsSentWithoutTheClientInterceptor(t *testing.T) {
	seen := &arrivals{}
	w := start(t, setup{before: seen.before()}, nil)
	key := interceptor.WithKey("order-1")

	for name, conn := range map[string]*grpc.ClientConn{
		"a plain connection":                           w.conn,
		"a connection with credentials":                w.dial(t, grpc.WithPerRPCCredentials(connectionToken{})),
		"a connection whose default options have some": w.dial(t, grpc.WithDefaultCallOptions(grpc.PerRPCCredentials(token("mine")))),
	} {
		callOn(t.Context(), conn, unaryCall, payment(), key).mustAnswer(t, "run 1")

		keys, tokens := seen.values(interceptor.KeyHeader), seen.values("x-connection")
		if keys[len(keys)-1] != "order-1|" || strings.Contains(name, "with credentials") != (tokens[len(tokens)-1] == "yes|") {
			t.Errorf("%s: the server has seen the keys %q and the tokens %q", name, keys, tokens)
		}
	}

	w.mustHaveRun(t, 1)
}

func TestKeyInTheMetadataAndInTheOptionIsSentOnce(t *testing.T) {
	seen := &arrivals{}
	w := start(t, setup{before: seen.before()}, nil)

	callOn(withKey(t.Context(), "order-1"), w.conn, unaryCall, payment(), interceptor.WithKey("order-1")).mustAnswer(t, "run 1")

	if got := seen.values(interceptor.KeyHeader); len(got) != 1 || got[0] != "order-1|" {
		t.Errorf("the server has seen %q", got)
	}
}

func TestBadKeyFailsWithoutTheClientInterceptor(t *testing.T) {
	seen := &arrivals{}
	w := start(t, setup{before: seen.before()}, nil)

	for text, call := range map[string]struct {
		ctx context.Context
		key string
	}{
		"length 0":                 {t.Context(), ""},
		"' '":                      {t.Context(), "two words"},
		"another":                  {withKey(t.Context(), "order-2"), "order-1"},
		"set the key in one place": {withKey(t.Context(), "order-1", "order-1"), "order-1"},
	} {
		if a := callOn(call.ctx, w.conn, unaryCall, payment(), interceptor.WithKey(call.key)); status.Code(a.err) != codes.Internal ||
			!strings.Contains(a.err.Error(), text) {
			t.Errorf("the answer to key %q is %v, %v; want an error with %q", call.key, a.resp, a.err, text)
		}
	}

	seen.mustBe(t, 0)
	w.mustHaveRun(t, 0)
}

// gRPC uses only the last credentials of a call. The client interceptor takes the key out of them.
func TestOfKeyAndCredentialsTheLastIsSentWithoutTheClientInterceptor(t *testing.T) {
	for _, order := range [][]grpc.CallOption{
		{grpc.PerRPCCredentials(token("mine")), interceptor.WithKey("order-1")},
		{interceptor.WithKey("order-1"), grpc.PerRPCCredentials(token("mine"))},
	} {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, nil)
		_, last := order[1].(grpc.PerRPCCredsCallOption)

		want := map[bool][2]string{false: {"order-1|", ""}, true: {"", "mine|"}}[last]

		callOn(t.Context(), w.conn, unaryCall, payment(), order...)
		callOn(t.Context(), w.clientConn(t), unaryCall, payment(), order...)

		keys, tokens := seen.values(interceptor.KeyHeader), seen.values("authorization")
		if keys[0] != want[0] || tokens[0] != want[1] {
			t.Errorf("without the interceptor the key is %q and the token %q, want %q", keys[0], tokens[0], want)
		}

		if keys[1] != "order-1|" || tokens[1] != "mine|" {
			t.Errorf("with the interceptor the key is %q and the token %q", keys[1], tokens[1])
		}
	}
}

func TestKeyHalfSendsTheKeyOfTheOptionOnce(t *testing.T) {
	key, again := halves(t)

	for name, chain := range map[string][]grpc.UnaryClientInterceptor{"alone": {key}, "both": {key, again}} {
		seen := &arrivals{}
		w := start(t, setup{before: seen.before()}, nil)

		callOn(t.Context(), w.dial(t, grpc.WithChainUnaryInterceptor(chain...)), unaryCall, payment(), interceptor.WithKey("order-1"),
			grpc.PerRPCCredentials(token("mine"))).mustAnswer(t, "run 1")

		if keys, tokens := seen.values(interceptor.KeyHeader), seen.values("authorization"); keys[0] != "order-1|" || tokens[0] != "mine|" {
			t.Errorf("%s: the key is %q, the token %q", name, keys, tokens)
		}
	}
}

// A stream gets no key of its own. A key that the caller has chosen is sent, so that the server can refuse it.
func TestKeyOfAStreamIsSent(t *testing.T) {
	keys := make(chan []string, 1)
	w := start(t, setup{options: []grpc.ServerOption{grpc.StreamInterceptor(
		func(_ any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			keys <- metadata.ValueFromIncomingContext(stream.Context(), interceptor.KeyHeader)

			return nil
		})}}, nil)

	for _, conn := range []*grpc.ClientConn{w.conn, w.clientConn(t)} {
		stream, err := pb.NewTestServiceClient(conn).FullDuplexCall(t.Context(), interceptor.WithKey("order-1"))
		if err != nil {
			t.Fatal(err)
		}

		_, _ = stream.Recv()

		if got := <-keys; len(got) != 1 || got[0] != "order-1" {
			t.Errorf("the server has seen %q", got)
		}
	}
}

func TestOnFinishIsCalledOncePerCall(t *testing.T) {
	key, again := halves(t)
	all := mustDial(t, interceptor.WithAllMethods())
	apart := []grpc.DialOption{grpc.WithChainUnaryInterceptor(key, again)}

	for name, tt := range map[string]struct {
		turns []turn
		dial  []grpc.DialOption
		opts  []grpc.CallOption
		code  codes.Code
	}{
		"one attempt":               {[]turn{paid()}, all, nil, codes.OK},
		"three attempts":            {[]turn{unavailable(), unavailable(), paid()}, all, nil, codes.OK},
		"five attempts in vain":     {[]turn{unavailable()}, all, nil, codes.Unavailable},
		"two halves":                {[]turn{unavailable(), paid()}, apart, nil, codes.OK},
		"installed twice":           {[]turn{unavailable(), paid()}, slices.Concat(all, all), nil, codes.OK},
		"a method without a key":    {[]turn{paid()}, mustDial(t), nil, codes.OK},
		"a key that cannot be sent": {[]turn{paid()}, mustDial(t), []grpc.CallOption{interceptor.WithKey("two words")}, codes.InvalidArgument},
	} {
		w := start(t, setup{unprotected: true}, scripted(tt.turns...))

		var ends []error

		a := callOn(t.Context(), w.dial(t, tt.dial...), unaryCall, payment(),
			append(tt.opts, grpc.OnFinish(func(err error) { ends = append(ends, err) }))...)

		if len(ends) != 1 || status.Code(ends[0]) != tt.code || status.Code(a.err) != tt.code {
			t.Errorf("%s: the ends are %v, the answer is %v, %v", name, ends, a.resp, a.err)
		}

		if tt.code == codes.Unavailable && onlyonce.VerdictOf(ends[0]) != onlyonce.VerdictOf(a.err) {
			t.Errorf("%s: the end is %v, the answer %v", name, ends[0], a.err)
		}
	}
}
