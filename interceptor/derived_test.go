package interceptor_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/txstore"
	"github.com/onlyonce-go/onlyonce/store"
)

// chain is two servers: the handler of the first one calls the second one.
type chain struct {
	front, back *world
	seen        *arrivals // at the back
	conn        *grpc.ClientConn
}

func startChain(t *testing.T, front setup, opts ...interceptor.ClientOption) *chain {
	t.Helper()

	c := &chain{seen: &arrivals{}}
	c.back = start(t, setup{before: c.seen.before()}, nil)
	c.conn = c.back.clientConn(t, opts...)
	c.front = start(t, front, func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		a := c.next(ctx, req)

		return a.resp, a.err
	})

	return c
}

// next is the call of the handler.
func (c *chain) next(ctx context.Context, req *pb.SimpleRequest, opts ...grpc.CallOption) answer {
	return callOn(ctx, c.conn, unaryCall, req, opts...)
}

// keys returns the keys that the back has received.
func (c *chain) keys(t *testing.T, calls int) []string {
	t.Helper()

	keys := c.seen.values(interceptor.KeyHeader)
	if len(keys) != calls {
		t.Fatalf("the back has seen the keys %q, want those of %d calls", keys, calls)
	}

	for i, key := range keys {
		keys[i] = strings.TrimSuffix(key, "|")
	}

	return keys
}

var derivedForm = regexp.MustCompile(`^d1-[a-z2-7]{52}$`)

func TestCallOfARunHasADerivedKey(t *testing.T) {
	c := startChain(t, setup{})

	for range 2 {
		c.front.pay(t, "order-1").mustAnswer(t, "run 1")
		c.front.pay(t, "order-2").mustAnswer(t, "run 2")
	}

	keys := c.keys(t, 2)
	if !derivedForm.MatchString(keys[0]) || !derivedForm.MatchString(keys[1]) || keys[0] == keys[1] {
		t.Errorf("the keys are %q", keys)
	}
}

func TestNothingIsDerivedWithoutAKey(t *testing.T) {
	c := startChain(t, setup{})

	c.front.call(t.Context(), payment()).mustAnswer(t, "run 1")

	if keys := c.keys(t, 1); derivedForm.MatchString(keys[0]) || keys[0] == "" {
		t.Errorf("the key is %q, want a fresh one", keys[0])
	}
}

func TestCallOfARunThatIsNotProtectedHasNoKey(t *testing.T) {
	c := startChain(t, setup{})

	dial, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall))
	if err != nil {
		t.Fatal(err)
	}

	c.conn = c.back.dial(t, dial...)
	c.front.pay(t, "order-1").mustAnswer(t, "run 1")

	if keys := c.keys(t, 1); keys[0] != "" {
		t.Errorf("the key is %q", keys[0])
	}
}

func TestRunThatIsRepeatedSendsTheSameKey(t *testing.T) {
	again := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Lease: time.Second, MaxRun: 2 * time.Second})

	tests := map[string]struct {
		front setup
		first func(c *chain, ctx context.Context) (*pb.SimpleResponse, error) // the end of the first run
	}{
		"after an ambiguous error": {setup{server: again}, func(*chain, context.Context) (*pb.SimpleResponse, error) {
			return nil, status.Error(codes.Internal, "no")
		}},
		"after a crash": {setup{server: again}, func(*chain, context.Context) (*pb.SimpleResponse, error) {
			panic("crash")
		}},
		"after nothing was executed": {setup{server: again}, func(*chain, context.Context) (*pb.SimpleResponse, error) {
			return nil, onlyonce.NotExecuted(errLine)
		}},
		"because its transaction conflicted": {exactly(onlyonce.SingleTransaction), func(*chain, context.Context) (*pb.SimpleResponse, error) {
			return nil, txstore.ErrConflict
		}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.front.before = append(test.front.before, recovering)
				c := startChain(t, test.front)
				runs := 0

				c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					runs++

					a := c.next(ctx, req)
					if runs == 1 {
						return test.first(c, ctx)
					}

					a.mustHaveStatus(t, onlyonce.StatusReplayed)

					return a.resp, a.err
				}

				if a := c.front.pay(t, "order-1"); a.err != nil {
					a = c.front.pay(t, "order-1")
					a.mustAnswer(t, "run 1")
				}

				c.front.mustHaveRun(t, 2)
				c.back.mustHaveRun(t, 1)

				if keys := c.keys(t, 2); runs != 2 || keys[0] != keys[1] || !derivedForm.MatchString(keys[0]) {
					t.Errorf("%d runs have sent the keys %q", runs, keys)
				}
			})
		})
	}
}

// recovering stands in front of the interceptor.
func recovering(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = status.Errorf(codes.Internal, "panic: %v", p)
		}
	}()

	return handler(ctx, req)
}

func TestF15_DownstreamDeduplicatesByDerivedKeyWhenACompletionIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The store acknowledges the completion, and then fails over to a replica that lacks it.
		failing := newFaultStore()
		failing.complete = func(ctx context.Context, op store.Completion) (store.Result, error) {
			res, err := failing.Lookup(ctx, op.Key)
			op.ApplyTo(&res.Record, res.Now)
			failing.complete = nil

			return store.Result{Applied: true, Record: res.Record, Now: res.Now}, err
		}

		c := startChain(t, setup{store: failing, server: policy(onlyonce.Policy{
			Guarantee: onlyonce.AtLeastOnce, Lease: time.Second, MaxRun: 2 * time.Second,
		})})

		c.front.pay(t, "order-1").mustHaveStatus(t, onlyonce.StatusExecuted)
		time.Sleep(5 * time.Second)

		retried := c.front.pay(t, "order-1")
		retried.mustAnswer(t, "run 1")
		retried.mustHaveStatus(t, onlyonce.StatusExecuted)

		c.front.mustHaveRun(t, 2)
		c.back.mustHaveRun(t, 1) // the effect
	})
}

func TestF57_RunThatSendsAnotherRequestWhenItIsRepeatedIsCaughtDownstream(t *testing.T) {
	c := startChain(t, setup{server: policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})})
	requests := []*pb.SimpleRequest{payment(), otherPayment()}

	c.front.handle = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		a := c.next(ctx, requests[0])
		requests = requests[1:]

		if a.err == nil {
			a.err = status.Error(codes.Internal, "after the effect")
		}

		return nil, a.err
	}

	c.front.pay(t, "order-1").mustFail(t, codes.Internal, "after the effect")

	if info := c.front.pay(t, "order-1").info(t); info.GetReason() != "IDEMPOTENCY_KEY_REUSED" || info.GetDomain() != downstream {
		t.Errorf("the second run ended with %v", info)
	}

	c.back.mustHaveRun(t, 1)
}

func TestKeysThatAreChosenGoBeforeTheDerivedOne(t *testing.T) {
	const chosen = "chosen-key"

	tests := map[string]struct {
		ctx     func(context.Context) context.Context
		opts    []grpc.CallOption
		derived bool
	}{
		"a call option": {opts: []grpc.CallOption{interceptor.WithKey(chosen)}},
		"the context": {ctx: func(ctx context.Context) context.Context {
			return onlyonce.ContextWithKey(ctx, chosen)
		}},
		"the metadata": {ctx: func(ctx context.Context) context.Context { return withKey(ctx, chosen) }},
		"none":         {derived: true},
		"the incoming key, forwarded": {derived: true, ctx: func(ctx context.Context) context.Context {
			return withKey(ctx, "order-1")
		}},
		"all incoming metadata, forwarded":        {ctx: forwarded, derived: true},
		"forwarded metadata, and a call option":   {ctx: forwarded, opts: []grpc.CallOption{interceptor.WithKey(chosen)}},
		"the incoming key, by option, on purpose": {opts: []grpc.CallOption{interceptor.WithKey("order-1")}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := startChain(t, setup{})

			c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				if test.ctx != nil {
					ctx = test.ctx(ctx)
				}

				a := c.next(ctx, req, test.opts...)

				return a.resp, a.err
			}

			c.front.pay(t, "order-1").mustAnswer(t, "run 1")

			key := c.keys(t, 1)[0]
			if derivedForm.MatchString(key) != test.derived || !test.derived && key != chosen && !strings.HasSuffix(name, "purpose") {
				t.Errorf("the key is %q", key)
			}
		})
	}
}

// forwarded passes all incoming metadata on, as proxies do.
func forwarded(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)

	return metadata.NewOutgoingContext(ctx, md.Copy())
}

func TestForwardedKeyDoesNotReachAMethodThatIsNotProtected(t *testing.T) {
	c := startChain(t, setup{})

	dial, err := interceptor.DialOptions(interceptor.WithMethods(emptyCall))
	if err != nil {
		t.Fatal(err)
	}

	c.conn = c.back.dial(t, dial...)
	c.front.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		a := c.next(forwarded(ctx), req)

		return a.resp, a.err
	}

	c.front.pay(t, "order-1").mustAnswer(t, "run 1")

	if keys := c.keys(t, 1); keys[0] != "" {
		t.Errorf("the key is %q", keys[0])
	}
}

func TestKeyFieldOfTheRequestGoesBeforeTheDerivedKey(t *testing.T) {
	for field, derived := range map[string]bool{"key": false, "": true} {
		b := &branchBank{}
		back := startBank(t, setup{}, b)
		conn := annotatedClient(t, back)

		front := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			_, a := transfer(ctx, conn, transferOf(field, "acme"))

			return &pb.SimpleResponse{Username: "done"}, a.err
		})

		front.pay(t, "order-1").mustAnswer(t, "done")

		if len(b.keys) != 1 || derivedForm.MatchString(b.keys[0]) != derived || !derived && b.keys[0] != field {
			t.Errorf("field %q: the keys are %q", field, b.keys)
		}
	}
}

func TestDerivedKeyHasTheFormThatTheMethodRequires(t *testing.T) {
	ordered := onlyonce.NewKey() // its time is in its first 13 characters
	timeOrdered := declaration{method: method("key_form: KEY_FORM_TIME_ORDERED")}

	tests := map[string]struct {
		declared declaration
		parent   string
		want     string // a pattern; none where the call fails
	}{
		"any":    {declaration{method: method("key_form: KEY_FORM_ANY")}, "order-1", `^d1-[a-z2-7]{52}$`},
		"strict": {declaration{method: method("key_form: KEY_FORM_STRICT")}, "order-1", `^d1-[a-z2-7]{52}$`},
		"UUID4": {
			declaration{request: str("a", 1, "key: true"), uuid: true}, "order-1",
			`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
		},
		"time-ordered": {timeOrdered, ordered, "^" + ordered[:13] + `-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		"time-ordered, and the key of the run is not": {timeOrdered, "order-1", ""},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			back := startDeclared(t, test.declared)
			seen := &arrivals{}
			dial, err := interceptor.DialOptions()

			if err != nil {
				t.Fatal(err)
			}

			conn := back.dial(t, append(dial, grpc.WithChainUnaryInterceptor(func(
				ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
			) error {
				md, _ := metadata.FromOutgoingContext(ctx)
				seen.all = append(seen.all, md)

				return invoker(ctx, method, req, reply, cc, opts...)
			}))...)

			front := start(t, setup{}, func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				_, a := back.call(ctx, conn)

				return &pb.SimpleResponse{Username: "done"}, a.err
			})

			a := front.pay(t, test.parent)
			if test.want == "" {
				if status.Code(a.err) != codes.FailedPrecondition || !strings.Contains(a.err.Error(), "WithKey") || len(seen.all) > 0 {
					t.Errorf("the answer is %v, %v", a.resp, a.err)
				}

				return
			}

			a.mustAnswer(t, "done")
			back.mustHaveRun(t, 1)

			keys := seen.values(interceptor.KeyHeader)
			if len(keys) != 1 || !regexp.MustCompile(test.want).MatchString(strings.TrimSuffix(keys[0], "|")) {
				t.Errorf("the keys are %q", keys)
			}
		})
	}
}

// Three services: whichever run of the middle one is lost, each effect happens once.
func TestChainOfServicesConverges(t *testing.T) {
	again := policy(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})
	lower := startChain(t, setup{server: again})
	upper := startChain(t, setup{server: again})
	upper.conn = lower.front.clientConn(t)

	for _, w := range []*world{upper.front, lower.front} {
		handle, failed := w.handle, false
		w.handle = func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			resp, err := handle(ctx, req)

			if err == nil && !failed {
				failed = true

				return nil, status.Error(codes.Internal, "after the effect")
			}

			return resp, err
		}
	}

	var last answer

	for range 10 {
		if last = upper.front.pay(t, "order-1"); last.err == nil {
			break
		}
	}

	last.mustAnswer(t, "run 1")
	lower.back.mustHaveRun(t, 1)
}

func TestValidateReportsRecordsThatOutliveThoseDownstream(t *testing.T) {
	declared := func(retention string) string {
		_, service := declaration{method: method(retention)}.register(t)

		return "/" + string(service.FullName()) + "/Pay"
	}
	twoDays, hour := declared("retention: { seconds: 172800 }"), declared("retention: { seconds: 3600 }")
	again := onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}

	tests := map[string]struct {
		policy onlyonce.Policy
		option interceptor.ServerOption
		want   []string
	}{
		"nobody is called":      {again, nil, nil},
		"as long":               {again, interceptor.WithDownstream(0, unaryCall), nil},
		"longer, in the .proto": {again, interceptor.WithDownstream(0, twoDays), nil},
		"shorter, in the .proto": {
			again, interceptor.WithDownstream(0, twoDays, hour), []string{hour, "24h0m0s", "1h0m0s", "derived keys"},
		},
		"shorter, by the option": {again, interceptor.WithDownstream(time.Hour, twoDays), []string{twoDays, "1h0m0s"}},
		"longer than the default": {
			onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Retention: 48 * time.Hour}, interceptor.WithDownstream(0, unaryCall),
			[]string{unaryCall, "48h0m0s"},
		},
		"shorter, and nothing repeats":   {onlyonce.Policy{}, interceptor.WithDownstream(0, hour), nil},
		"without methods":                {again, interceptor.WithDownstream(time.Hour), []string{"WithDownstream needs methods"}},
		"with a negative retention":      {again, interceptor.WithDownstream(-1, hour), []string{"WithDownstream needs methods"}},
		"with a name that no method has": {again, interceptor.WithDownstream(0, "Pay"), []string{`"Pay" is not the full name`}},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := grpc.NewServer()
			pb.RegisterTestServiceServer(server, &service{})

			opts := policy(test.policy)
			if test.option != nil {
				opts = append(opts, test.option)
			}

			err := validate(server, engine(t), opts...)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Validate: %v", err)
			}

			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}
