package interceptor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/journal"
	"github.com/onlyonce-go/onlyonce/retry"
)

// maxRetention is the longest retention that an engine accepts.
const maxRetention = 100 * 365 * 24 * time.Hour

// ClientOption configures a client interceptor. The constructors report an invalid option. If an option is given twice, the later one
// replaces the earlier one. WithMethods and WithClientDeclarations add to earlier ones.
type ClientOption func(*clientConfig)

// clientConfig is the configuration of a client interceptor.
type clientConfig struct {
	all        bool
	methods    map[string]bool
	named      bool // WithMethods was given
	match      func(fullMethod string) bool
	matched    bool // WithMethodMatch was given
	keyRules   onlyonce.KeyRules
	newKey     func() string // nil: onlyonce.NewKey, or a UUID of version 4
	generator  bool          // WithKeyGenerator was given
	policy     retry.Policy
	budgets    *retry.Budgets
	budgeted   bool // WithBudgets was given
	retention  time.Duration
	retryCodes []codes.Code
	observe    func(ctx context.Context, attempt Attempt)
	trace      *ClientTrace     // nil: none
	journal    *journal.Journal // nil: none
	logger     *slog.Logger     // nil: slog.Default(), called for each line
	declared   declarations
	known      perMethod[*clientMethod]

	reportedFurther atomic.Bool // for all methods beyond the capacity of known
	confirmations   confirmations
}

// WithAllMethods declares that the servers behind the connection protect all their unary methods. Each call then gets a key and is retried.
// It leaves out methods that no server protects: those that declare idempotency_level = NO_SIDE_EFFECTS or KEY_USE_IGNORED, and
// grpc.health.v1.Health.
//
// Deploy the servers first, then the clients: a key is useless if the server does not read it. If only an option protects a method, the
// client retries it only after the server has confirmed the method: see UnaryClientInterceptor.
func WithAllMethods() ClientOption { return func(c *clientConfig) { c.all = true } }

// WithMethods declares which methods the servers protect, in addition to the methods that their .proto protects. Write a method as in
// "/payments.v1.PaymentService/Pay". Generated code has a constant with this name for each method. Calls of all other methods get no key
// and are not retried. Further options add methods.
//   - WithMethods overrides KEY_USE_IGNORED in the .proto of a method.
//   - These are errors: no name, a name that is no full method name, a stream, and a method that its linked-in service does not have.
//
// Deploy the servers first, then the clients: a key is useless if the server does not read it. The client retries these methods only after
// the server has confirmed them: see UnaryClientInterceptor.
func WithMethods(fullMethods ...string) ClientOption {
	return func(c *clientConfig) {
		c.named = true

		for _, name := range fullMethods {
			c.methods[name] = true
		}
	}
}

// WithMethodMatch declares which methods the servers protect, by a function of the full method name. Nil is an error. The function must be
// safe for concurrent use. It adds to WithMethods and WithAllMethods, and it cannot protect the methods that WithAllMethods leaves out.
// Deploy the servers first, as for WithMethods.
func WithMethodMatch(match func(fullMethod string) bool) ClientOption {
	return func(c *clientConfig) { c.match, c.matched = match, true }
}

// WithRetry sets how calls are retried. The default is the zero Policy: see [retry.Policy]. MaxElapsed is shortened to the time that
// WithRetention allows. All calls of the connection share the Budget.
func WithRetry(p retry.Policy) ClientOption { return func(c *clientConfig) { c.policy = p } }

// WithBudgets gives each target its own retry budget. All connections whose options have the same Budgets share it. The target is the
// string that grpc.NewClient got. The state of a budget can be read at any time:
//
//	budgets, err := retry.NewBudgets(10, 0.1)
//	…
//	dial, err := interceptor.DialOptions(interceptor.WithBudgets(budgets))
//	…
//	budgets.For(conn.Target()).Tokens() // calls are retried while it is above 5
//
// Nil is an error, and so is a Budget in WithRetry at the same time. A budget in WithCallRetry overrides it.
func WithBudgets(budgets *retry.Budgets) ClientOption {
	return func(c *clientConfig) { c.budgets, c.budgeted = budgets, true }
}

// WithRetryCodes replaces the codes that are retried if they come from a handler or from the connection. The default is UNAVAILABLE alone.
// Without codes, no such error is retried. OK is an error. The codes have no effect on these errors: an attempt that timed out is retried,
// a rejection of an onlyonce server is retried by its reason, and a recorded error is never retried.
func WithRetryCodes(retried ...codes.Code) ClientOption {
	return func(c *clientConfig) { c.retryCodes = slices.Clone(retried) }
}

// WithRetention sets how long the servers keep outcomes. If their retentions differ, give the shortest. The default is 24 hours; the range
// is a millisecond to 100 years.
//
// After the retention the call might run again, so the client stops before. It begins no retry once the retention, less a tolerance, has
// passed since the first attempt. The tolerance is 10 minutes, or half of the retention if that is less. A retry that waits for a
// connection or an answer ends with DEADLINE_EXCEEDED when half of the tolerance is left.
//
// These shorter times also bound the retries:
//   - The retention in the .proto of the method.
//   - The trailer idempotency-retention of an answer. It holds for the rest of the call, and for all later calls of the method on the
//     connection. The retention of a recorded error holds only for its own call. A longer retention and a missing trailer change nothing.
//   - For methods with time-ordered keys, the key life since the key was made. It is key_life of the .proto, or else 24 hours.
func WithRetention(d time.Duration) ClientOption { return func(c *clientConfig) { c.retention = d } }

// WithKeyRules sets which keys the servers accept. A call with another key fails with IDEMPOTENCY_KEY_INVALID before it is sent. The
// default is 1 to 255 printable ASCII characters without spaces. The key_form of a method's .proto also applies.
func WithKeyRules(rules onlyonce.KeyRules) ClientOption {
	return func(c *clientConfig) { c.keyRules = rules }
}

// WithKeyGenerator sets the function that makes fresh keys. The default is onlyonce.NewKey, a UUID of version 7. For a method whose key
// field declares the format UUID4, the default is a UUID of version 4. Nil is an error.
//   - The function must never return the same key twice. It must be safe for concurrent use.
//   - A call whose key breaks the key rules fails with IDEMPOTENCY_KEY_INVALID before it is sent.
//   - Keys that are derived from the key of a run do not come from the function.
func WithKeyGenerator(newKey func() string) ClientOption {
	return func(c *clientConfig) { c.newKey, c.generator = newKey, true }
}

func newClientConfig(opts []ClientOption) (*clientConfig, error) {
	c := &clientConfig{
		methods:    make(map[string]bool),
		retention:  onlyonce.DefaultRetention,
		retryCodes: defaultRetryCodes(),
	}
	c.known.find, c.known.more = c.method, c.furtherMethod
	c.confirmations.presumed = func(fullMethod string) bool { return c.known.get(fullMethod).protected }

	for _, opt := range opts {
		opt(c)
	}

	errs := []error{c.policy.Validate(), c.keyRules.Validate(), c.validateProtected(), c.declared.validate()}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		errs = append(errs, checkMethodName(name), checkUnary("WithMethods", name))
	}

	if c.retention < time.Millisecond || c.retention > maxRetention {
		errs = append(errs, fmt.Errorf("interceptor: the retention of WithRetention is %v: give the time for which the servers keep outcomes, "+
			"from 1ms to 100 years", c.retention))
	}

	if c.generator && c.newKey == nil {
		errs = append(errs, errors.New("interceptor: WithKeyGenerator is nil: give a function, or leave the option out"))
	}

	if c.budgeted && (c.budgets == nil || c.policy.Budget != nil) {
		errs = append(errs, errors.New("interceptor: WithBudgets is nil, or WithRetry also has a Budget: make the budgets with "+
			"retry.NewBudgets, and give one of the two options"))
	}

	if slices.ContainsFunc(c.retryCodes, isOK) {
		errs = append(errs, errors.New("interceptor: WithRetryCodes contains OK, which is no failure: leave it out"))
	}

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	allowed := keytime.Usable(c.retention)
	c.policy.MaxElapsed = min(cmp.Or(c.policy.MaxElapsed, allowed), allowed)

	return c, nil
}

// DialOptions returns the dial options that install [UnaryClientInterceptor]. It fails if an option is invalid. Without options, it
// protects the methods whose .proto declares protection. Streams get no key. The order of interceptors matters:
//   - An interceptor that turns one call into several, such as the retry of go-grpc-middleware, goes behind it. In front of it, each of
//     these calls would get another key. UnaryClientInterceptor recognises the retry of go-grpc-middleware in front of it, and fails the
//     second of these calls.
//   - An interceptor that sets grpc.PerRPCCredentials goes in front of it. UnaryClientInterceptor adds credentials of its own, which block
//     retries to replicas without the kit. An interceptor behind it would replace them. A call that may have reached a server is then not
//     retried.
//
// Install it with:
//
//	dial, err := interceptor.DialOptions(interceptor.WithMethods(paymentsv1.PaymentService_Pay_FullMethodName))
//	…
//	conn, err := grpc.NewClient(target, append(dial, grpc.WithTransportCredentials(creds))...)
func DialOptions(opts ...ClientOption) ([]grpc.DialOption, error) {
	both, err := UnaryClientInterceptor(opts...)
	if err != nil {
		return nil, err
	}

	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(both)}, nil
}

// UnaryClientInterceptor returns an interceptor that gives every logical call of a protected method one key, and retries the call with that
// key. It is UnaryClientKeyInterceptor around UnaryClientRetryInterceptor. It fails if an option is invalid.
//
// These methods are protected. A .proto counts if its generated code is linked in.
//   - methods whose .proto has an option of onlyonce/v1/options.proto other than KEY_USE_IGNORED, for the method or its service,
//   - methods whose request has a field that is marked as the key,
//   - methods of WithMethods, WithMethodMatch, WithAllMethods and WithClientDeclarations.
//
// The package documentation has a table of the servers that get retries, under "Which servers get retries".
//
// gRPC's own retries are off for all calls with a key. An OnFinish option is called once per call.
//
// The error of a keyed call is a gRPC status with all its details. onlyonce.VerdictOf returns its meaning for the key, and KeyOf the key.
func UnaryClientInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return once(func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return c.withKey(ctx, method, req, opts, func(ctx context.Context, key string) error {
			if key == "" {
				return invoker(ctx, method, req, reply, cc, opts...)
			}

			return c.withRetry(ctx, method, key, req, reply, cc, invoker, withoutKey(opts))
		})
	}), nil
}

// UnaryClientKeyInterceptor returns the half of UnaryClientInterceptor that gives a logical call its key. It uses only the options that
// choose methods and keys, and fails if any option is invalid. Put UnaryClientRetryInterceptor behind it, with the same options. Without
// that half, gRPC's own retries stay on and servers are not confirmed. The key comes from the first of these:
//   - WithKey,
//   - onlyonce.ContextWithKey,
//   - the outgoing metadata,
//   - the request field that is marked as the key,
//   - for a protected method inside a run: a key that is derived from the key of the run,
//   - for a protected method outside of a run: a fresh key.
//
// These rules hold:
//   - If several of the first four have a key, the keys must be equal. Otherwise the call fails with IDEMPOTENCY_KEY_INVALID before it is
//     sent. Only WithKey and onlyonce.ContextWithKey may differ: WithKey overrides the other.
//   - The request is never changed: a key only goes into the metadata.
//   - The key of an incoming call is not passed on, even if it is in the outgoing metadata.
//   - A run that uses a method twice without naming the steps gets an error that matches onlyonce.ErrStepUsed, and nothing is sent: see
//     onlyonce.WithStep.
func UnaryClientKeyInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return once(func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return c.withKey(ctx, method, req, opts, func(ctx context.Context, key string) error {
			return keyed(invoker(ctx, method, req, reply, cc, withoutKey(opts)...), key)
		})
	}), nil
}

// UnaryClientRetryInterceptor returns the half of UnaryClientInterceptor that retries calls of protected methods. The key must be in the
// outgoing metadata. It fails if an option is invalid. A call of a protected method without a key fails with INTERNAL before it is sent,
// because the other half is missing. A call of any other method is made once.
func UnaryClientRetryInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return once(func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		key, values := outgoingKeys(ctx)
		if values == 0 && c.protected(method) {
			return localError(errKeyless(method), "")
		}

		if values != 1 {
			return invoker(ctx, method, req, reply, cc, opts...)
		}

		return c.withRetry(ctx, method, key, req, reply, cc, invoker, opts)
	}), nil
}
