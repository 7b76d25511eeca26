package interceptor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/internal/keytime"
	"github.com/onlyonce-go/onlyonce/retry"
)

// maxRetention is the longest retention that an engine accepts.
const maxRetention = 100 * 365 * 24 * time.Hour

// ClientOption changes a client interceptor under construction.
type ClientOption func(*clientConfig)

// clientConfig is what the options of a client interceptor say.
type clientConfig struct {
	all        bool
	methods    map[string]bool
	named      bool // WithMethods is given
	match      func(fullMethod string) bool
	matched    bool // WithMethodMatch is given
	keyRules   onlyonce.KeyRules
	newKey     func() string // nil: the kit's own
	generator  bool          // WithKeyGenerator is given
	policy     retry.Policy
	budgets    *retry.Budgets
	budgeted   bool // WithBudgets is given
	retention  time.Duration
	retryCodes []codes.Code
	observe    func(ctx context.Context, attempt Attempt)
	known      perMethod[*clientMethod]
}

// WithAllMethods declares that the servers behind the connection protect all their unary methods, so that each call gets a key and is
// retried. Choose it only if that is true: a key makes nothing safe unless the server reads it. Methods that declare idempotency_level =
// NO_SIDE_EFFECTS or KEY_USE_IGNORED are left out, because no server protects them.
func WithAllMethods() ClientOption { return func(c *clientConfig) { c.all = true } }

// WithMethods declares which methods the servers protect, beside the methods that are protected in their .proto. Methods are named as in
// "/payments.v1.PaymentService/Pay"; generated code has a constant with that name for each method. Calls of other methods get no key of
// their own and are not retried.
func WithMethods(fullMethods ...string) ClientOption {
	return func(c *clientConfig) {
		c.named = true

		for _, name := range fullMethods {
			c.methods[name] = true
		}
	}
}

// WithMethodMatch declares which methods the servers protect, by a function that is safe for concurrent use. It adds to WithMethods and
// WithAllMethods.
func WithMethodMatch(match func(fullMethod string) bool) ClientOption {
	return func(c *clientConfig) { c.match, c.matched = match, true }
}

// WithRetry sets how calls are retried; see [retry.Policy] for the defaults. Its MaxElapsed is shortened to what WithRetention
// allows, and its Budget is shared by all calls of the connection.
func WithRetry(p retry.Policy) ClientOption { return func(c *clientConfig) { c.policy = p } }

// WithBudgets gives each target a retry budget of its own, in place of the policy's, shared by all connections whose options have the
// same Budgets. The target is that of the connection, as grpc.NewClient was given it. Its state can be read at any time:
//
//	budgets, err := retry.NewBudgets(10, 0.1)
//	…
//	dial, err := interceptor.DialOptions(interceptor.WithBudgets(budgets))
//	…
//	budgets.For(conn.Target()).Tokens() // retries are made while it is above 5
//
// A budget that WithCallRetry names goes before it.
func WithBudgets(budgets *retry.Budgets) ClientOption {
	return func(c *clientConfig) { c.budgets, c.budgeted = budgets, true }
}

// WithRetryCodes replaces the codes that are retried when they come from a handler or from the connection. The default is
// UNAVAILABLE alone; none at all retries no such error. What an onlyonce server says about its own rejections, and attempts
// that timed out, do not depend on it, and a recorded error is not retried.
func WithRetryCodes(retried ...codes.Code) ClientOption {
	return func(c *clientConfig) { c.retryCodes = slices.Clone(retried) }
}

// WithRetention declares how long the servers keep outcomes: the shortest of their retentions. The default is 24 hours; the range is a
// millisecond to 100 years. A shorter retention in a method's .proto holds for that method.
//
// No attempt begins later than the retention less a tolerance after the first attempt, because it might run again. The tolerance is 10
// minutes, or half of the retention if that is less. An attempt that has begun in time and still waits, for a connection or for its
// answer, ends with DEADLINE_EXCEEDED after half of the tolerance.
//
// For methods with time-ordered keys the key life counts, too. It is key_life of the .proto, or else 24 hours, from when the key was
// made.
func WithRetention(d time.Duration) ClientOption { return func(c *clientConfig) { c.retention = d } }

// WithKeyRules refuses keys that the servers would refuse. The default is the contract's rule.
func WithKeyRules(rules onlyonce.KeyRules) ClientOption {
	return func(c *clientConfig) { c.keyRules = rules }
}

// WithKeyGenerator replaces what makes keys: onlyonce.NewKey, a UUID of version 7, or a UUID of version 4 for a method whose key
// field declares the format UUID4. The function never returns the same key twice, and is safe for concurrent use.
func WithKeyGenerator(newKey func() string) ClientOption {
	return func(c *clientConfig) { c.newKey, c.generator = newKey, true }
}

// WithAttemptObserver lets a function see every attempt of a keyed call; nil means nobody. It is called on the path of the
// call, so it returns quickly, and is safe for concurrent use.
func WithAttemptObserver(observe func(ctx context.Context, attempt Attempt)) ClientOption {
	return func(c *clientConfig) { c.observe = observe }
}

// Attempt is one attempt of a keyed call.
type Attempt struct {
	retry.Attempt

	// Method and Key name the logical call. Key must never become a metric label.
	Method, Key string
	// Status is the status in the answer of the server. It is empty if there was no answer.
	Status onlyonce.Status
	// Unconfirmed reports an answer without a status from a method that is declared protected, by WithMethods and its
	// like: the server has no interceptor, or an old replica answered. Retrying it is not safe: raise an alarm.
	Unconfirmed bool
}

func newClientConfig(opts []ClientOption) (*clientConfig, error) {
	c := &clientConfig{
		methods:    make(map[string]bool),
		retention:  onlyonce.DefaultRetention,
		retryCodes: defaultRetryCodes(),
	}
	c.known.find = clientMethodOf

	for _, opt := range opts {
		opt(c)
	}

	errs := []error{c.policy.Validate(), c.keyRules.Validate(), c.validateProtected()}

	for _, name := range slices.Sorted(maps.Keys(c.methods)) {
		errs = append(errs, checkMethodName(name))
	}

	if c.retention < time.Millisecond || c.retention > maxRetention {
		errs = append(errs, fmt.Errorf("interceptor: the retention of WithRetention is %v: give the time for which the servers keep outcomes, "+
			"from 1ms to 100 years", c.retention))
	}

	if c.generator && c.newKey == nil {
		errs = append(errs, errors.New("interceptor: WithKeyGenerator needs a function"))
	}

	if c.budgeted && (c.budgets == nil || c.policy.Budget != nil) {
		errs = append(errs, errors.New("interceptor: WithBudgets needs budgets, see retry.NewBudgets, and goes in place of that in WithRetry: "+
			"give one of them"))
	}

	if slices.ContainsFunc(c.retryCodes, isOK) {
		errs = append(errs, errors.New("interceptor: WithRetryCodes contains OK, which is no failure"))
	}

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	allowed := keytime.Usable(c.retention)
	c.policy.MaxElapsed = min(cmp.Or(c.policy.MaxElapsed, allowed), allowed)

	return c, nil
}

// DialOptions returns the dial options that install the client interceptor.
//
//	dial, err := interceptor.DialOptions(interceptor.WithMethods(paymentsv1.PaymentService_Pay_FullMethodName))
func DialOptions(opts ...ClientOption) ([]grpc.DialOption, error) {
	both, err := UnaryClientInterceptor(opts...)
	if err != nil {
		return nil, err
	}

	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(both)}, nil
}

// UnaryClientInterceptor returns an interceptor that gives every logical call of a protected method one key and retries it
// with that key. It is UnaryClientKeyInterceptor around UnaryClientRetryInterceptor. It fails where an option cannot hold.
//
// A method is protected if its .proto says so: if it has, or its service has, an option of onlyonce/v1/options.proto that does
// not say KEY_USE_IGNORED, or if a field of its request is marked as the key. WithMethods, WithMethodMatch and WithAllMethods say
// it of others.
//
// The error of a keyed call is a gRPC status with all its details, and onlyonce.VerdictOf says what it means for the key.
func UnaryClientInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return c.withKey(ctx, method, req, opts, func(ctx context.Context, key string) error {
			if key == "" {
				return invoker(ctx, method, req, reply, cc, opts...)
			}

			return c.withRetry(ctx, method, key, req, reply, cc, invoker, opts)
		})
	}, nil
}

// UnaryClientKeyInterceptor returns the half that gives a logical call its key. The half that retries has to be inside of it. Both halves
// get the same options. The key comes from
//   - WithKey,
//   - onlyonce.ContextWithKey,
//   - the outgoing metadata,
//   - the request field that is marked as the key,
//   - for a protected method inside a run: the key of the run, from which it is derived,
//   - for a protected method outside of a run: a fresh key.
//
// These rules hold:
//   - If the request and another of these have a key, the keys have to be equal.
//   - The request is never changed: a key only goes into the metadata.
//   - The key of an incoming call is not passed on, even if it is in the outgoing metadata.
//   - A run that uses a method twice without naming the steps gets an error that matches onlyonce.ErrStepUsed, and nothing is sent: see
//     onlyonce.WithStep.
func UnaryClientKeyInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return c.withKey(ctx, method, req, opts, func(ctx context.Context, _ string) error {
			return invoker(ctx, method, req, reply, cc, opts...)
		})
	}, nil
}

// UnaryClientRetryInterceptor returns the half that retries calls of protected methods, with the key in the outgoing metadata. A call of
// a protected method without a key fails with INTERNAL before it is sent, because the other half is missing. A call of any other method
// is made once.
func UnaryClientRetryInterceptor(opts ...ClientOption) (grpc.UnaryClientInterceptor, error) {
	c, err := newClientConfig(opts)
	if err != nil {
		return nil, err
	}

	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		key, values := outgoingKeys(ctx)
		if values == 0 && c.protected(method) {
			return localError(errKeyless(method))
		}

		if values != 1 {
			return invoker(ctx, method, req, reply, cc, opts...)
		}

		return c.withRetry(ctx, method, key, req, reply, cc, invoker, opts)
	}, nil
}
