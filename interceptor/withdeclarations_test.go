package interceptor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
	"github.com/onlyonce-go/onlyonce/retry"
)

// declare declares the policy of a method or a service in JSON.
func declare(t *testing.T, of, policy string) interceptor.Declaration {
	t.Helper()

	d := interceptor.Declaration{Of: of, Policy: new(onlyoncev1.Policy), Source: "file.yaml:7"}
	if err := protojson.Unmarshal([]byte(policy), d.Policy); err != nil {
		t.Fatal(err)
	}

	return d
}

func mustHaveReason(t *testing.T, a answer, want onlyonce.Reason) {
	t.Helper()

	if got := a.info(t).GetReason(); got != string(want) {
		t.Errorf("the answer is %v, %v, want %v", a.resp, a.err, want)
	}
}

func TestDeclarationsProtectMethodsWithoutAnnotations(t *testing.T) {
	declared := []interceptor.Declaration{
		declare(t, unaryCall, `{"key": "KEY_USE_REQUIRED", "keyForm": "KEY_FORM_STRICT"}`),
		declare(t, testService, `{"key": "KEY_USE_OPTIONAL"}`),
		declare(t, cacheableCall, `{"key": "KEY_USE_IGNORED"}`),
	}
	w := start(t, setup{server: []interceptor.ServerOption{interceptor.WithDeclarations(declared...)}}, nil)

	mustHaveReason(t, w.call(t.Context(), payment()), onlyonce.ReasonKeyMissing)
	mustHaveReason(t, w.call(withKey(t.Context(), "short"), payment()), onlyonce.ReasonKeyInvalid)

	conn := annotatedClient(t, w, interceptor.WithClientDeclarations(declared...))
	callOn(t.Context(), conn, unaryCall, payment()).mustHaveStatus(t, onlyonce.StatusExecuted)
	callOn(t.Context(), conn, cacheableCall, payment()).mustAnswer(t, "run 2")
	mustHaveReason(t, callOn(t.Context(), conn, unaryCall, payment(), interceptor.WithKey("short")), onlyonce.ReasonKeyInvalid)

	_, empty := invoke[pb.Empty](t.Context(), conn, emptyCall, &pb.Empty{})
	empty.mustHaveStatus(t, onlyonce.StatusExecuted)

	if n := w.runs.Load(); n != 3 {
		t.Errorf("the handlers ran %d times, want 3", n)
	}
}

func TestDeclarationsGoBeforeTheProtoAndBehindGoOptions(t *testing.T) {
	declared := interceptor.WithDeclarations(
		declare(t, bankService, `{"key": "KEY_USE_OPTIONAL"}`), // required by the .proto
		declare(t, depositCall, `{"key": "KEY_USE_REQUIRED"}`), // optional by the .proto
	)

	for name, test := range map[string]struct {
		opts              []interceptor.ServerOption
		transfer, deposit bool // run without a key
	}{
		"declarations":    {[]interceptor.ServerOption{declared}, true, false},
		"and a Go option": {append(keyPolicy(interceptor.Policy{Key: interceptor.KeyRequired}), declared), false, false},
		"and a Go option of a method": {[]interceptor.ServerOption{
			declared, interceptor.WithMethodPolicy(depositCall, interceptor.Policy{Key: interceptor.KeyOptional}),
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := startBank(t, setup{server: test.opts}, &branchBank{})

			if _, a := transfer(t.Context(), w.conn, transferOf("", "acme")); (a.err == nil) != test.transfer {
				t.Errorf("a transfer without a key: %v", a.err)
			}

			if _, a := deposit(t.Context(), w.conn); (a.err == nil) != test.deposit {
				t.Errorf("a deposit without a key: %v", a.err)
			}
		})
	}
}

// F75: a declaration is the client's own statement. Only answers of a server confirm it.
func TestF75_MethodThatOnlyTheClientDeclaresIsNotRetriedBeforeItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declared := interceptor.WithClientDeclarations(declare(t, unaryCall, `{}`))

		for name, test := range map[string]struct {
			answer   grpc.UnaryServerInterceptor
			attempts int
		}{
			"a proxy answers": {func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
				return nil, status.Error(codes.Unavailable, "no healthy upstream")
			}, 1},
			"a server with the kit answers": {releasedAlways, 3},
		} {
			seen := &arrivals{}
			w := start(t, setup{unprotected: true, before: append(seen.before(), test.answer)}, nil)
			conn := annotatedClient(t, w, declared, interceptor.WithRetry(retry.Policy{MaxAttempts: 3}))

			if a := callOn(t.Context(), conn, unaryCall, payment()); a.err == nil {
				t.Errorf("%s: %v", name, a.resp)
			}

			seen.mustBe(t, test.attempts)
		}
	})
}

func TestDeclarationsThatCannotHoldAreReportedAtOnceWithTheirSource(t *testing.T) {
	newer := declare(t, depositCall, `{}`)
	newer.Policy.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))

	bad := []interceptor.Declaration{
		declare(t, transferCall, `{"retention": "0s", "maxAttempts": 0}`),
		declare(t, bankService+".Nothing/", `{}`),
		declare(t, "/"+bankService+"/Nothing", `{}`),
		declare(t, "", `{}`),
		declare(t, balanceCall, `{"key": "KEY_USE_REQUIRED"}`),
		declare(t, pb.TestService_FullDuplexCall_FullMethodName, `{}`),
		declare(t, unaryCall, `{"guarantee": 9}`),
		declare(t, unaryCall, `{}`),
		{Of: emptyCall},
		newer,
	}
	want := [][]string{
		{"policy of " + transferCall + " in file.yaml:7: retention is 0s", "leave it out"},
		{"policy of " + transferCall + " in file.yaml:7: max_attempts is 0", "at least 1"},
		{"file.yaml:7: ", bankService + ".Nothing/", "write it as"},
		{"file.yaml:7: ", "no method", "/" + bankService + "/Nothing"},
		{"file.yaml:7: ", "no name", "write a method as"},
		{"file.yaml:7: ", balanceCall, "NO_SIDE_EFFECTS", "choose one"},
		{"file.yaml:7: ", "FullDuplexCall is a stream", "KEY_USE_IGNORED"},
		{unaryCall + " in file.yaml:7: guarantee is 9", "EXACTLY_ONCE"},
		{unaryCall + " in file.yaml:7: file.yaml:7 declares another policy", "keep one"},
		{emptyCall + " in a Declaration: Policy is nil", "empty Policy"},
		{depositCall + " in file.yaml:7: it has a setting that this build does not know", "newer"},
	}

	_, onServer := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithDeclarations(bad...))
	_, onClient := interceptor.DialOptions(interceptor.WithClientDeclarations(bad...))

	for _, err := range []error{onServer, onClient} {
		lines := strings.Split(err.Error(), "\n")

		for _, parts := range want {
			if !slices.ContainsFunc(lines, func(line string) bool { return containsAll(line, parts) }) {
				t.Errorf("no problem has all of %q:\n%v", parts, err)
			}
		}

		if len(lines) != len(want) {
			t.Errorf("%d problems, want %d:\n%v", len(lines), len(want), err)
		}
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

func TestDeclarationsAreValidatedLikeAnnotations(t *testing.T) {
	anHour := interceptor.Policy{Policy: onlyonce.Policy{Retention: time.Hour}}

	for name, test := range map[string]struct {
		declared interceptor.Declaration
		opts     []interceptor.ServerOption
		want     []string
	}{
		"a method that is not registered": {
			declare(t, "/other.v1.Service/Call", `{}`), nil,
			[]string{"file.yaml:7", "/other.v1.Service/Call", "not registered", "remove the policy"},
		},
		"a service that is not registered": {
			declare(t, "other.v1.Service", `{}`), nil, []string{"file.yaml:7", "other.v1.Service", "not registered"},
		},
		"a retention that the server shortens": {
			declare(t, unaryCall, `{"retention": "7200s"}`),
			[]interceptor.ServerOption{interceptor.WithMethodPolicy(unaryCall, anHour)},
			[]string{unaryCall, "1h0m0s", "file.yaml:7 promises clients 2h0m0s", "lower retention in file.yaml:7"},
		},
		"a policy that the server weakens": {
			declare(t, testService, `{"key": "KEY_USE_REQUIRED"}`), keyPolicy(interceptor.Policy{Key: interceptor.KeyOptional}),
			[]string{"WithPolicy", "KeyOptional", "file.yaml:7 of " + unaryCall},
		},
		"a retention that ends before clients do": {
			declare(t, unaryCall, `{"retention": "30s"}`), nil, []string{unaryCall, "30s", "raise the retention"},
		},
		"a policy that no engine can hold": {
			declare(t, unaryCall, `{"lease": "60s", "maxRun": "1s"}`), nil, []string{"policy of " + unaryCall + " in file.yaml:7", "MaxRun"},
		},
		"nothing": {declare(t, unaryCall, `{"key": "KEY_USE_REQUIRED", "retention": "7200s"}`), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := servicesOf(pb.File_grpc_testing_test_proto.Services().ByName("TestService"))
			err := validate(server, engine(t), append(test.opts, interceptor.WithDeclarations(test.declared))...)

			if test.want == nil && err != nil {
				t.Errorf("it reports %v", err)
			}

			if test.want != nil {
				mustName(t, err, test.want...)
			}
		})
	}
}
