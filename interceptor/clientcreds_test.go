package interceptor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// token is the credential that identifies a caller.
type token string

func (c token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(c)}, nil
}

func (token) RequireTransportSecurity() bool { return false }

// tokenOption is somebody's own call option.
type tokenOption struct{ grpc.PerRPCCredsCallOption }

// aroundOption is somebody's option around any other.
type aroundOption struct{ grpc.CallOption }

type nestedOption struct{ grpc.PerRPCCredsCallOption }

// shallowOption is without credentials for gRPC: it uses the least deeply embedded option.
type shallowOption struct {
	grpc.EmptyCallOption
	*nestedOption
}

func TestRetriesHaveTheCredentialsOfTheCall(t *testing.T) {
	for name, opts := range map[string][]grpc.CallOption{
		"of an option":          {grpc.PerRPCCredentials(token("mine"))},
		"the last of several":   {grpc.PerRPCCredentials(token("other")), grpc.PerRPCCredentials(token("mine"))},
		"of an embedded option": {tokenOption{grpc.PerRPCCredsCallOption{Creds: token("mine")}}},
		"of a pointer":          {&tokenOption{grpc.PerRPCCredsCallOption{Creds: token("mine")}}},
		"of a wrapped option":   {aroundOption{&aroundOption{grpc.PerRPCCredentials(token("mine"))}}},
		"before one without":    {grpc.PerRPCCredentials(token("mine")), shallowOption{}, aroundOption{grpc.WaitForReady(true)}},
		"before one without, embedded": {
			grpc.PerRPCCredentials(token("mine")), shallowOption{nestedOption: &nestedOption{grpc.PerRPCCredsCallOption{Creds: token("other")}}},
		},
		"of an unexported type": {struct{ *nestedOption }{&nestedOption{grpc.PerRPCCredsCallOption{Creds: token("mine")}}}},
		"with a key":            {grpc.PerRPCCredentials(token("mine")), interceptor.WithKey("key")},
		"behind a key":          {interceptor.WithKey("key"), grpc.PerRPCCredentials(token("mine"))},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &arrivals{}
			w := start(t, setup{unprotected: true, before: seen.before()}, scripted(unavailable(), unavailable(), paid()))
			conn := w.dial(t, append(mustDial(t, interceptor.WithAllMethods(), patiently()), grpc.WithPerRPCCredentials(connectionToken{}))...)

			callOn(t.Context(), conn, unaryCall, payment(), opts...).mustAnswer(t, "paid")
			seen.mustBe(t, 3)

			for _, name := range []string{"authorization", "x-connection", interceptor.KeyHeader} {
				for _, value := range seen.values(name) {
					if strings.Count(value, "|") != 1 || name == "authorization" && value != "mine|" {
						t.Errorf("%s of an attempt is %q", name, value)
					}
				}
			}
		})
	}

	w := start(t, setup{unprotected: true}, scripted(unavailable(), paid()))

	secure := grpc.PerRPCCredentials(secureToken{})
	callOn(t.Context(), w.clientConn(t, patiently()), unaryCall, payment(), secure).mustFail(t, codes.Unauthenticated,
		"transport: cannot send secure credentials on an insecure connection")
}

type connectionToken struct{ token }

func (connectionToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"x-connection": "yes"}, nil
}

type secureToken struct{ token }

func (secureToken) RequireTransportSecurity() bool { return true }

func mustDial(t *testing.T, opts ...interceptor.ClientOption) []grpc.DialOption {
	t.Helper()

	dial, err := interceptor.DialOptions(opts...)
	if err != nil {
		t.Fatal(err)
	}

	return dial
}

// F75: an interceptor behind the kit's replaces the credentials, and with them the guard that keeps retries from
// replicas without the kit. Then a call that may have run is not retried.
func TestF75_CallWhoseGuardIsReplacedIsNotRetried(t *testing.T) {
	book := &ledger{}
	_, fresh := startLossy(t, setup{}, book.charge)
	_, old := startLossy(t, setup{unprotected: true}, book.charge)

	replace := func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return invoker(ctx, method, req, reply, cc, append(opts, grpc.PerRPCCredentials(token("mine")))...)
	}

	dial := append(mustDial(t, interceptor.WithMethods(unaryCall), patiently(), (&report{}).option()),
		grpc.WithChainUnaryInterceptor(replace))
	conn := dialBoth(t, fresh, old, dial)

	for i := 0; !fresh.isUsed() || !old.isUsed(); i++ {
		callOn(t.Context(), conn, unaryCall, order(fmt.Sprint("before ", i)), grpc.WaitForReady(true))
	}

	fresh.lose(2)

	_, errs := charge(t, conn)
	book.mustNotDouble(t, errs)

	if len(errs) != fresh.losses() || len(errs) == 0 {
		t.Errorf("%d replies were lost, %d errors", fresh.losses(), len(errs))
	}

	for _, err := range errs {
		if !strings.Contains(err.Error(), "put that interceptor in front") {
			t.Errorf("the error does not say why the call was not retried: %v", err)
		}
	}
}
