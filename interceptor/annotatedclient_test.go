package interceptor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	"github.com/onlyonce-go/onlyonce/retry"
)

// annotatedClient is a connection whose interceptor has the options of the .proto alone.
func annotatedClient(t *testing.T, w *world, opts ...interceptor.ClientOption) *grpc.ClientConn {
	t.Helper()

	dial, err := interceptor.DialOptions(opts...)
	if err != nil {
		t.Fatal(err)
	}

	return w.dial(t, dial...)
}

func TestClientTakesTheKeyFromTheRequestAndNeverChangesIt(t *testing.T) {
	inMetadata := func(ctx context.Context) context.Context { return withKey(ctx, "key") }
	inContext := func(ctx context.Context) context.Context { return onlyonce.ContextWithKey(ctx, "key") }

	tests := map[string]struct {
		field string
		ctx   func(context.Context) context.Context
		opts  []grpc.CallOption
		sent  string // empty where it is a fresh one
		bad   bool   // the call fails before it is sent
	}{
		"a filled field":                {field: "key", sent: "key"},
		"an empty field":                {},
		"an empty field and an option":  {opts: []grpc.CallOption{interceptor.WithKey("key")}, sent: "key"},
		"the same key as the option":    {field: "key", opts: []grpc.CallOption{interceptor.WithKey("key")}, sent: "key"},
		"the same key as the context":   {field: "key", ctx: inContext, sent: "key"},
		"the same key as the metadata":  {field: "key", ctx: inMetadata, sent: "key"},
		"another key than the option":   {field: "other", opts: []grpc.CallOption{interceptor.WithKey("key")}, bad: true},
		"another key than the context":  {field: "other", ctx: inContext, bad: true},
		"another key than the metadata": {field: "other", ctx: inMetadata, bad: true},
		"a malformed field":             {field: "two words", bad: true},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &branchBank{}
			w := startBank(t, setup{}, b)

			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx(ctx)
			}

			req := transferOf(test.field, "acme")
			before := proto.CloneOf(req)
			_, a := transfer(ctx, annotatedClient(t, w), req, test.opts...)

			if !proto.Equal(req, before) {
				t.Errorf("the request has become %v", req)
			}

			if test.bad {
				if reason := a.info(t).GetReason(); reason != string(onlyonce.ReasonKeyInvalid) || status.Code(a.err) != codes.InvalidArgument ||
					onlyonce.VerdictOf(a.err) != onlyonce.VerdictFinal {
					t.Errorf("the answer is %v", a.err)
				}

				b.mustHaveRun(t, 0)

				return
			}

			a.mustHaveStatus(t, onlyonce.StatusExecuted)

			if len(b.keys) != 1 || test.sent != "" && b.keys[0] != test.sent || b.keys[0] == "" {
				t.Errorf("the keys in the metadata are %q, want %q", b.keys, test.sent)
			}
		})
	}
}

func TestAnnotatedMethodsAreProtectedWithoutClientOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			call     func(conn grpc.ClientConnInterface) error
			attempts int
		}{
			"required": {func(conn grpc.ClientConnInterface) error {
				return second(transfer(t.Context(), conn, transferOf("", "acme"))).err
			}, 3},
			"optional": {func(conn grpc.ClientConnInterface) error { return second(deposit(t.Context(), conn)).err }, 3},
			"ignored": {func(conn grpc.ClientConnInterface) error {
				return second(invoke[bankv1.AuditResponse](t.Context(), conn, auditCall, &bankv1.AuditRequest{RequestId: "key"})).err
			}, 1},
			"reads": {func(conn grpc.ClientConnInterface) error {
				return second(invoke[bankv1.BalanceResponse](t.Context(), conn, balanceCall, &bankv1.BalanceRequest{})).err
			}, 1},
			"not annotated": {func(conn grpc.ClientConnInterface) error { return callOn(t.Context(), conn, unaryCall, payment()).err }, 1},
		} {
			every := func(string) bool { return true }

			for _, opts := range [][]interceptor.ClientOption{nil, {interceptor.WithAllMethods()}, {interceptor.WithMethodMatch(every)}} {
				seen := &arrivals{}
				w := startBank(t, setup{unprotected: true, before: append(seen.before(), releasedAlways)}, &branchBank{})
				want := test.attempts

				if name == "not annotated" && opts != nil {
					want = 3
				}

				_ = test.call(annotatedClient(t, w, append(opts, interceptor.WithRetry(retry.Policy{MaxAttempts: 3}))...))
				seen.mustBe(t, want)
			}
		}
	})
}

func releasedAlways(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	return unavailable().answer(ctx)
}

func TestF29_ClientStopsBeforeTheRetentionOfTheMethodsOptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startBank(t, setup{unprotected: true, before: []grpc.UnaryServerInterceptor{releasedAlways}}, &branchBank{})
		patient := interceptor.WithRetry(retry.Policy{MaxAttempts: 1_000_000, BaseDelay: time.Minute, MaxDelay: time.Minute})

		for name, test := range map[string]struct {
			opts []interceptor.ClientOption
			call func(conn grpc.ClientConnInterface)
			most time.Duration
		}{
			"the method's hour, less ten minutes": {
				call: func(conn grpc.ClientConnInterface) { deposit(t.Context(), conn) }, most: 50 * time.Minute,
			},
			"the client's day, which is shorter than the service's two": {
				call: func(conn grpc.ClientConnInterface) { transfer(t.Context(), conn, transferOf("key", "acme")) },
				most: 24*time.Hour - 10*time.Minute,
			},
			"the client's own, which is shorter than the method's": {
				opts: []interceptor.ClientOption{interceptor.WithRetention(30 * time.Minute)},
				call: func(conn grpc.ClientConnInterface) { deposit(t.Context(), conn) }, most: 20 * time.Minute,
			},
		} {
			began := time.Now()
			test.call(annotatedClient(t, w, append(test.opts, patient)...))

			if took := time.Since(began); took > test.most || took < test.most-time.Minute {
				t.Errorf("%s: the client went on for %v, want up to %v", name, took, test.most)
			}
		}
	})
}

func TestClientGuessesNothingFromAnAnnotationThatCannotHold(t *testing.T) {
	b := startDeclared(t, declaration{request: str("a", 1, "key: true") + str("b", 2, "key: true")})

	_, a := b.call(t.Context(), annotatedClient(t, b.world), "a", "key", "b", "other")
	mustBeRefused(t, b, a)
}

// The .proto may be newer than the client's build of this module. Then its annotation is invalid for the client.
func TestClientUsesTheOtherOptionsOfAMethodWhoseAnnotationProtectsNothing(t *testing.T) {
	for name, options := range map[string]string{
		"it cannot hold":       method("guarantee: 9 retention { seconds: 3600 }"),
		"its keys are ignored": method("key: KEY_USE_IGNORED retention { seconds: 3600 }"),
		"it reads":             "idempotency_level: NO_SIDE_EFFECTS " + method("retention { seconds: 3600 }"),
	} {
		t.Run(name, func(t *testing.T) {
			_, service := declaration{request: str("request_id", 1, "key: true"), uuid: true, method: options}.register(t)

			synctest.Test(t, func(t *testing.T) {
				pay := "/" + string(service.FullName()) + "/Pay"
				patient := interceptor.WithRetry(retry.Policy{MaxAttempts: 1_000_000, BaseDelay: time.Minute, MaxDelay: time.Minute})

				call := func(key string, opts ...interceptor.ClientOption) (keys []string, err error) {
					client, err := interceptor.UnaryClientInterceptor(append(opts, patient)...)
					if err != nil {
						t.Fatal(err)
					}

					req := dynamicpb.NewMessage(service.Methods().Get(0).Input())
					set(req, "request_id", key)

					err = client(t.Context(), pay, req, nil, nil,
						func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
							sent, _ := metadata.FromOutgoingContext(ctx)
							keys = append(keys, sent.Get(interceptor.KeyHeader)...)

							return invoker(new(int), heard{
								code: codes.Unavailable, trailer: metadata.Pairs(interceptor.StatusTrailer, "released"),
							})(ctx, method, req, reply, cc, opts...)
						})

					return keys, err
				}

				if keys, _ := call(uuidUpper); len(keys) != 0 {
					t.Errorf("nobody says that the method is protected, and it is called with %q", keys)
				}

				began := time.Now()

				keys, _ := call(uuidUpper, interceptor.WithMethods(pay))
				if took := time.Since(began); len(keys) < 2 || keys[0] != uuidLower || took > 50*time.Minute || took < 49*time.Minute {
					t.Errorf("an option says that the method is protected: %d attempts in %v, with %q", len(keys), took, keys[:min(len(keys), 1)])
				}

				if keys, err := call("no-uuid-at-all", interceptor.WithMethods(pay)); len(keys) != 0 || status.Code(err) != codes.InvalidArgument {
					t.Errorf("a bad key is sent %d times: %v", len(keys), err)
				}
			})
		})
	}
}

func TestKeyRulesOfTheAnnotationHoldOnTheClient(t *testing.T) {
	faults := newFaultStore()
	w := startBank(t, setup{store: faults}, &branchBank{})

	_, a := deposit(t.Context(), annotatedClient(t, w), interceptor.WithKey("short"))
	if reason := a.info(t).GetReason(); reason != string(onlyonce.ReasonKeyInvalid) {
		t.Errorf("the answer is %v", a.err)
	}

	if len(a.trailer) != 0 {
		t.Errorf("the call was sent: %v", a.trailer)
	}
}
