package interceptor_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/retry"
	"github.com/onlyonce-go/onlyonce/store/memstore"
)

func engine(t *testing.T) *onlyonce.Engine {
	t.Helper()

	e, err := onlyonce.New(memstore.New())
	if err != nil {
		t.Fatal(err)
	}

	return e
}

// mustName checks that an error names every problem.
func mustName(t *testing.T, err error, problems ...string) {
	t.Helper()

	if err == nil {
		t.Fatal("no error")
	}

	for _, problem := range problems {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("the error does not mention %q:\n%v", problem, err)
		}
	}
}

func TestServerInterceptorNeedsAnEngineAndAScope(t *testing.T) {
	_, err := interceptor.NewServer(nil, interceptor.Scope{})
	mustName(t, err, "engine", "scope")

	_, err = interceptor.NewServer(engine(t), interceptor.Scope{})
	mustName(t, err, "scope")

	_, err = interceptor.NewServer(engine(t), interceptor.ScopeFunc(nil))
	mustName(t, err, "scope")

	_, err = interceptor.NewServer(nil, interceptor.ScopeShared())
	mustName(t, err, "engine")
}

func TestServerOptionsThatCannotHoldAreAllReported(t *testing.T) {
	_, err := interceptor.NewServer(engine(t), interceptor.Scope{},
		interceptor.WithPolicy(interceptor.Policy{
			Policy: onlyonce.Policy{Guarantee: onlyonce.ExactlyOnce}, Key: 9,
			Classes: map[codes.Code]onlyonce.Class{codes.OK: onlyonce.ClassAmbiguous, codes.Aborted: 7},
		}),
		interceptor.WithServicePolicy("bank.Payments", interceptor.Policy{
			Policy: onlyonce.Policy{StoreDown: onlyonce.FailOpen, Guarantee: onlyonce.AtMostOnce}, KeyRules: &onlyonce.KeyRules{MaxLength: 256},
		}),
		interceptor.WithServicePolicy("/bank.Refunds/", interceptor.Policy{}),
		interceptor.WithMethodPolicy("/bank.Payments/Pay", interceptor.Policy{Policy: onlyonce.Policy{Lease: time.Hour}}),
		interceptor.WithMethodPolicy("bank.Payments/Pay", interceptor.Policy{}),
		interceptor.WithMethodPolicy("/bank.Payments", interceptor.Policy{}),
		interceptor.WithMethodPolicy("", interceptor.Policy{}),
	)
	mustName(t, err,
		"has no scope", "policy of the server", "EXACTLY_ONCE", "Key is 9", "OK", "Aborted",
		"policy of service bank.Payments", "FailOpen", "256", `"/bank.Refunds/"`,
		"policy of method /bank.Payments/Pay", "Lease, which is 1h0m0s", `"bank.Payments/Pay" is not`, `"/bank.Payments" is not`, `"" is not`,
	)
}

func TestPolicyIsJudgedTogetherWithTheWiderOnes(t *testing.T) {
	// Each option is valid alone: FailOpen of the method, and at-most-once of its service.
	failOpen := interceptor.WithMethodPolicy("/bank.Payments/Pay", interceptor.Policy{Policy: onlyonce.Policy{StoreDown: onlyonce.FailOpen}})
	leastOnce := interceptor.WithServicePolicy("bank.Payments", interceptor.Policy{Policy: onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}})

	if _, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), failOpen, leastOnce); err != nil {
		t.Errorf("NewServer: %v", err)
	}

	_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), failOpen)
	mustName(t, err, "policy of method /bank.Payments/Pay", "FailOpen")
}

func TestClientOptionForProtectedMethodsNamesAMethod(t *testing.T) {
	for name, option := range map[string]interceptor.ClientOption{
		"no methods": interceptor.WithMethods(), "a nil match": interceptor.WithMethodMatch(nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := interceptor.DialOptions(option)
			mustName(t, err, "name the methods")
		})
	}

	if _, err := interceptor.DialOptions(); err != nil {
		t.Errorf("a client that takes the .proto's word: %v", err)
	}
}

func TestClientOptionsThatCannotHoldAreAllReported(t *testing.T) {
	opts := []interceptor.ClientOption{
		interceptor.WithMethods("bank.Payments/Pay", "/bank.Payments"),
		interceptor.WithRetry(retry.Policy{MaxAttempts: -1, Multiplier: math.NaN()}),
		interceptor.WithRetryCodes(codes.OK),
		interceptor.WithRetention(-time.Hour),
		interceptor.WithKeyRules(onlyonce.KeyRules{MinLength: 300}),
		interceptor.WithKeyGenerator(nil),
	}
	problems := []string{
		`"bank.Payments/Pay" is not`, `"/bank.Payments" is not`, "MaxAttempts is -1", "Multiplier is NaN", "contains OK",
		"WithRetention is -1h0m0s", "300", "WithKeyGenerator",
	}

	_, err := interceptor.DialOptions(opts...)
	mustName(t, err, problems...)

	first := err.Error()

	_, err = interceptor.UnaryClientKeyInterceptor(opts...)
	mustName(t, err, problems...)

	_, err = interceptor.UnaryClientRetryInterceptor(opts...)
	mustName(t, err, problems...)

	for range 20 {
		if _, err := interceptor.UnaryClientInterceptor(opts...); err.Error() != first {
			t.Fatalf("the problems are named in another order each time:\n%v\n%v", err, first)
		}
	}
}
