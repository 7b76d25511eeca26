package interceptor_test

import (
	"context"
	"regexp"
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

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestClientTakesTheKeyFromItsSources(t *testing.T) {
	fromContext := func(ctx context.Context) context.Context { return onlyonce.ContextWithKey(ctx, "from-context") }
	fromMetadata := func(ctx context.Context) context.Context { return withKey(ctx, "from-metadata") }
	none := func(ctx context.Context) context.Context { return ctx }

	tests := map[string]struct {
		ctx  func(context.Context) context.Context
		opts []grpc.CallOption
		want string // empty where the call is refused
	}{
		"generated":             {ctx: none, want: "generated"},
		"option":                {ctx: none, opts: []grpc.CallOption{interceptor.WithKey("from-option")}, want: "from-option"},
		"context":               {ctx: fromContext, want: "from-context"},
		"metadata":              {ctx: fromMetadata, want: "from-metadata"},
		"option before context": {ctx: fromContext, opts: []grpc.CallOption{interceptor.WithKey("from-option")}, want: "from-option"},
		"the last option": {
			ctx: none, opts: []grpc.CallOption{interceptor.WithKey("one"), interceptor.WithKey("two")}, want: "two",
		},
		"option and metadata agree": {
			ctx: fromMetadata, opts: []grpc.CallOption{interceptor.WithKey("from-metadata")}, want: "from-metadata",
		},
		"option and metadata differ": {ctx: fromMetadata, opts: []grpc.CallOption{interceptor.WithKey("from-option")}},
		"context and metadata differ": {ctx: func(ctx context.Context) context.Context {
			return fromMetadata(fromContext(ctx))
		}},
		"two values in the metadata": {ctx: func(ctx context.Context) context.Context { return withKey(ctx, "one", "one") }},
		"an empty option":            {ctx: none, opts: []grpc.CallOption{interceptor.WithKey("")}},
		"an empty key in context":    {ctx: func(ctx context.Context) context.Context { return onlyonce.ContextWithKey(ctx, "") }},
		"an empty key in metadata":   {ctx: func(ctx context.Context) context.Context { return withKey(ctx, "") }},
		"a malformed option":         {ctx: none, opts: []grpc.CallOption{interceptor.WithKey("two words")}},
		"an oversized option":        {ctx: none, opts: []grpc.CallOption{interceptor.WithKey(strings.Repeat("k", 256))}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{before: seen.before()}, nil)
			client := w.client(t, interceptor.WithKeyGenerator(func() string { return "generated" }))

			_, err := client.UnaryCall(test.ctx(t.Context()), payment(), test.opts...)

			if test.want == "" {
				answer{err: err, trailer: rejectedTrailer()}.mustBe(t, keyInvalid)
				seen.mustBe(t, 0)

				if got := onlyonce.VerdictOf(err); got != onlyonce.VerdictFinal {
					t.Errorf("the outcome is %v", got)
				}

				return
			}

			if got := seen.values("idempotency-key"); err != nil || len(got) != 1 || got[0] != test.want+"|" {
				t.Errorf("the server saw the keys %q, want %q; %v", got, test.want, err)
			}
		})
	}
}

// rejectedTrailer is the trailer of a rejection. A call that is rejected before it is sent has none, so the test supplies it.
func rejectedTrailer() map[string][]string {
	return map[string][]string{"idempotency-status": {"rejected"}}
}

func TestClientMakesAFreshKeyForEveryCallAndKeepsItForEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable(), unavailable(), paid()))
		client := w.client(t)

		for range 2 {
			if _, err := client.UnaryCall(t.Context(), payment()); err != nil {
				t.Error(err)
			}
		}

		keys := seen.values("idempotency-key")
		if len(keys) != 4 || keys[0] != keys[1] || keys[1] != keys[2] || keys[2] == keys[3] {
			t.Errorf("three attempts and another call had the keys %q", keys)
		}

		for _, key := range keys {
			if !uuid7.MatchString(strings.TrimSuffix(key, "|")) {
				t.Errorf("%q is not a UUID of version 7", key)
			}
		}

		if got := strings.Join(seen.values("x-retry-attempt"), ","); got != ",1|,2|," {
			t.Errorf("x-retry-attempt is %q", got)
		}
	})
}

func TestClientRefusesKeysThatItsRulesRefuse(t *testing.T) {
	seen := &arrivals{}
	w := start(t, setup{before: seen.before()}, nil)
	client := w.client(t, interceptor.WithKeyRules(onlyonce.StrictKeys()))

	for _, key := range []string{"short", "with.a.dot.in"} {
		_, err := client.UnaryCall(t.Context(), payment(), interceptor.WithKey(key))
		answer{err: err, trailer: rejectedTrailer()}.mustBe(t, keyInvalid)
	}

	broken := w.client(t, interceptor.WithKeyGenerator(func() string { return "" }))
	_, err := broken.UnaryCall(t.Context(), payment())
	answer{err: err, trailer: rejectedTrailer()}.mustBe(t, keyInvalid)
	seen.mustBe(t, 0)

	if _, err := client.UnaryCall(t.Context(), payment()); err != nil {
		t.Errorf("a generated key: %v", err)
	}
}

func TestUnprotectedMethodsGetNoKeyAndNoRetry(t *testing.T) {
	matched := func(fullMethod string) bool { return fullMethod == cacheableCall }

	tests := map[string]struct {
		opts               []interceptor.ClientOption
		protected, without string
	}{
		"WithMethods": {
			opts: []interceptor.ClientOption{interceptor.WithMethods(cacheableCall)}, protected: cacheableCall, without: unaryCall,
		},
		"WithMethodMatch": {
			opts: []interceptor.ClientOption{interceptor.WithMethodMatch(matched)}, protected: cacheableCall, without: unaryCall,
		},
		"both": {opts: []interceptor.ClientOption{
			interceptor.WithMethodMatch(matched), interceptor.WithMethods(unaryCall),
		}, protected: unaryCall, without: emptyCall},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := &arrivals{}
				w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))

				dial, err := interceptor.DialOptions(test.opts...)
				if err != nil {
					t.Fatal(err)
				}

				conn := w.dial(t, dial...)

				if a := callOn(t.Context(), conn, test.without, payment()); status.Code(a.err) != codes.Unavailable {
					t.Errorf("the answer is %v, %v", a.resp, a.err)
				}

				if got := seen.values("idempotency-key"); len(got) != 1 || got[0] != "" {
					t.Errorf("a method that is not protected was called with the keys %q", got)
				}

				callOn(t.Context(), conn, test.protected, payment())
				seen.mustBe(t, 6)
			})
		})
	}
}

func TestUnprotectedMethodWithAKeyIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &arrivals{}
		w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable()))

		dial, err := interceptor.DialOptions(interceptor.WithMethods(cacheableCall))
		if err != nil {
			t.Fatal(err)
		}

		_, err = pb.NewTestServiceClient(w.dial(t, dial...)).UnaryCall(t.Context(), payment(), interceptor.WithKey("mine"))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the answer is %v", err)
		}

		if got := seen.values("idempotency-key"); len(got) != 1 || got[0] != "mine|" {
			t.Errorf("the server saw the keys %q", got)
		}
	})
}
