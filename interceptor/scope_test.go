package interceptor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

func byTenant() interceptor.Scope { return interceptor.ScopeFromMetadata("x-tenant") }

// payAs makes the payment in the name of a tenant.
func (w *world) payAs(t *testing.T, tenant, key string) answer {
	t.Helper()

	return w.call(appendMetadata(withKey(t.Context(), key), "x-tenant", tenant), payment())
}

func TestF26_CallersDoNotSeeEachOther(t *testing.T) {
	w := start(t, setup{scope: byTenant}, nil)

	w.payAs(t, "Ann", "key").mustAnswer(t, "run 1")

	// Bob cannot learn from any call that the key is in use.
	stranger := w.payAs(t, "Bob", "key")
	stranger.mustAnswer(t, "run 2")
	stranger.mustHaveStatus(t, onlyonce.StatusExecuted)

	other := w.call(appendMetadata(withKey(t.Context(), "key"), "x-tenant", "Eve"), otherPayment())
	other.mustAnswer(t, "run 3")
	other.mustHaveStatus(t, onlyonce.StatusExecuted)

	w.payAs(t, "Ann", "key").mustAnswer(t, "run 1")
	w.payAs(t, "Bob", "key").mustAnswer(t, "run 2")
	w.mustHaveRun(t, 3)
}

func TestF26_RejectionsDoNotRevealThatAnotherCallerHasTheKey(t *testing.T) {
	w := start(t, setup{scope: byTenant}, failing(status.Error(codes.Internal, "oops")))
	w.payAs(t, "Ann", "key").mustHaveStatus(t, onlyonce.StatusUnknown)

	w.handle = nil
	w.payAs(t, "Bob", "key").mustHaveStatus(t, onlyonce.StatusExecuted)
	w.payAs(t, "Ann", "key").mustBe(t, outcomeUnknown)
}

func TestScopeAndKeyDoNotRunIntoEachOther(t *testing.T) {
	w := start(t, setup{scope: byTenant}, nil)

	w.payAs(t, "ab", "c").mustAnswer(t, "run 1")
	w.payAs(t, "a", "bc").mustAnswer(t, "run 2")
}

func TestScopeFromMetadataNeedsExactlyOneValue(t *testing.T) {
	w := start(t, setup{scope: byTenant}, nil)

	for name, values := range map[string][]string{
		"missing": nil, "empty": {""}, "several": {"Ann", "Bob"}, "the same twice": {"Ann", "Ann"}, "one and an empty": {"Ann", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pairs := make([]string, 0, 2*len(values))
			for _, value := range values {
				pairs = append(pairs, "x-tenant", value)
			}

			w.call(appendMetadata(withKey(t.Context(), "key"), pairs...), payment()).mustBe(t, scopeMissing)
		})
	}

	w.mustHaveRun(t, 0)
}

func TestF87_ScopeFromMetadataNeedsANameThatMetadataCanHave(t *testing.T) {
	for name, want := range map[string][]string{
		"":                    {"empty name", `"x-tenant"`},
		"X Tenant":            {`"X Tenant"`, "is invalid for metadata", "use a-z"},
		"x tenant":            {`"x tenant"`, "is invalid for metadata", "use a-z"},
		"X-Tenant":            {`"X-Tenant"`, "lower case", `write "x-tenant"`},
		":authority":          {`":authority"`, "is invalid for metadata"},
		"mandant-ä":           {`"mandant-ä"`, "is invalid for metadata"},
		"grpc-tenant":         {`"grpc-tenant"`, "gRPC", "authentication"},
		"content-type":        {`"content-type"`, "gRPC", "authentication"},
		"idempotency-key":     {`"idempotency-key"`, "contract", "authentication"},
		"idempotent-replayed": {`"idempotent-replayed"`, "contract"},
		"tenant-bin":          {`"tenant-bin"`, "text", "ScopeFunc"},
	} {
		_, err := interceptor.NewServer(engine(t), interceptor.ScopeFromMetadata(name),
			interceptor.WithServicePolicy("no/service", interceptor.Policy{}))
		mustName(t, err, append(want, "ScopeFromMetadata", "no/service")...) // every problem at once
	}

	for _, name := range []string{"x-tenant", "x_tenant.2", "tenant", "bin"} {
		if _, err := interceptor.NewServer(engine(t), interceptor.ScopeFromMetadata(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScopeFuncSeparatesCallers(t *testing.T) {
	scope, fail := "Ann", error(nil)
	w := start(t, setup{scope: func() interceptor.Scope {
		return interceptor.ScopeFunc(func(context.Context) (string, error) { return scope, fail })
	}}, nil)

	w.pay(t, "key").mustAnswer(t, "run 1")

	scope = "Bob"
	w.pay(t, "key").mustAnswer(t, "run 2")

	scope = ""
	w.pay(t, "key").mustBe(t, scopeMissing)

	scope, fail = "Ann", errors.New("token of Ann is stale")
	a := w.pay(t, "key")
	a.mustBe(t, scopeMissing)

	if text := status.Convert(a.err).String(); text == "" || containsAny(text, "Ann", "stale") {
		t.Errorf("the scope's error leaks to the caller: %q", text)
	}
}

func TestScopeIsNotCalledWithoutAKey(t *testing.T) {
	w := start(t, setup{scope: noScope}, nil)

	w.call(t.Context(), payment()).mustAnswer(t, "run 1")
}

func TestScopeSharedIsForAll(t *testing.T) {
	w := start(t, setup{}, nil)

	w.payAs(t, "Ann", "key").mustAnswer(t, "run 1")
	w.payAs(t, "Bob", "key").mustAnswer(t, "run 1")
}

func containsAny(text string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}

	return false
}
