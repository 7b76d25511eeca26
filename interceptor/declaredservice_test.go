package interceptor_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/fingerprint"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// declaredBank is a server of a service without generated code.
type declaredBank struct {
	*world

	runs    atomic.Int64
	service protoreflect.ServiceDescriptor
	pay     string
	events  []onlyonce.Event
}

func startDeclared(t *testing.T, d declaration, opts ...interceptor.ServerOption) *declaredBank {
	t.Helper()

	_, service := d.register(t)
	b := &declaredBank{service: service, pay: "/" + string(service.FullName()) + "/Pay"}
	b.world = start(t, setup{
		store:    d.store,
		server:   opts,
		register: func(server *grpc.Server) { serveDeclared(server, service, counting(&b.runs)) },
		engine: []onlyonce.Option{onlyonce.WithObserver(onlyonce.ObserverFunc(func(_ context.Context, e onlyonce.Event) {
			b.events = append(b.events, e)
		}))},
	}, nil)

	return b
}

// call pays with the fields of the request in pairs, and returns the receipt.
func (b *declaredBank) call(ctx context.Context, conn grpc.ClientConnInterface, fields ...string) (string, answer) {
	method := b.service.Methods().ByName("Pay")
	req, resp := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())

	for i := 0; i < len(fields); i += 2 {
		set(req, protoreflect.Name(fields[i]), fields[i+1])
	}

	var frame atomic.Bool

	a := answer{}
	ctx = context.WithValue(ctx, headerFramesKey{}, &frame)
	a.err = conn.Invoke(ctx, b.pay, req, resp, grpc.Header(&a.header), grpc.Trailer(&a.trailer))
	a.headerFrame = frame.Load()

	return get(resp, "receipt"), a
}

func (b *declaredBank) mustHaveRun(t *testing.T, times int64) {
	t.Helper()

	if n := b.runs.Load(); n != times {
		t.Errorf("the handler ran %d times, want %d", n, times)
	}
}

func TestServiceThatIsKnownAtRunTimeAloneIsProtected(t *testing.T) {
	for name, declared := range map[string]declaration{
		"options that are linked in": {},
		"options as unknown bytes":   {resolver: new(protoregistry.Types)},
		"options of dynamic types":   {resolver: dynamicpb.NewTypes(protoregistry.GlobalFiles)},
	} {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, declaration{
				request:  str("request_id", 1, "key: true") + str("tenant", 2, "scope: true") + str("note", 3, "ignored: true"),
				service:  "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }",
				method:   "[onlyonce.v1.method] { key_form: KEY_FORM_STRICT }",
				resolver: declared.resolver,
			})

			_, a := b.call(t.Context(), b.conn, "tenant", "acme")
			a.mustBe(t, keyMissing)

			_, a = b.call(t.Context(), b.conn, "tenant", "acme", "request_id", "short")
			a.mustBe(t, keyInvalid)

			_, a = b.call(t.Context(), b.conn, "request_id", "long-enough")
			a.mustBe(t, scopeMissing)

			for _, call := range []struct {
				tenant, note, receipt string
				status                onlyonce.Status
			}{
				{"acme", "first", "run 1", onlyonce.StatusExecuted},
				{"acme", "again", "run 1", onlyonce.StatusReplayed},
				{"initech", "first", "run 2", onlyonce.StatusExecuted},
			} {
				receipt, a := b.call(t.Context(), b.conn, "tenant", call.tenant, "note", call.note, "request_id", "long-enough")
				a.mustHaveStatus(t, call.status)

				if receipt != call.receipt {
					t.Errorf("the receipt is %q, want %q", receipt, call.receipt)
				}
			}

			b.mustHaveRun(t, 2)

			if err := validate(servicesOf(b.service), b.engine); err != nil {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func TestClientKnowsServicesAtRunTimeToo(t *testing.T) {
	b := startDeclared(t, declaration{request: str("request_id", 1, "key: true"), resolver: new(protoregistry.Types)})

	dial, err := interceptor.DialOptions()
	if err != nil {
		t.Fatal(err)
	}

	_, a := b.call(t.Context(), b.dial(t, dial...))
	a.mustHaveStatus(t, onlyonce.StatusExecuted)
}

const (
	uuidLower = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	uuidUpper = "F47AC10B-58CC-4372-A567-0E02B2C3D479"
)

func TestKeysOfMethodsThatDeclareUUIDsAreUUIDsInAnyCase(t *testing.T) {
	b := startDeclared(t, declaration{request: str("request_id", 1, "key: true") + str("note", 2, "ignored: true"), uuid: true})

	for i, call := range []struct{ field, metadata string }{
		{field: uuidLower}, {field: uuidUpper}, {metadata: uuidUpper}, {metadata: uuidLower},
		{field: uuidUpper, metadata: uuidLower}, {field: uuidLower, metadata: uuidUpper},
	} {
		ctx := t.Context()
		if call.metadata != "" {
			ctx = withKey(ctx, call.metadata)
		}

		receipt, a := b.call(ctx, b.conn, "request_id", call.field)
		if i == 0 {
			a.mustHaveStatus(t, onlyonce.StatusExecuted)
		} else {
			a.mustHaveStatus(t, onlyonce.StatusReplayed)
		}

		if receipt != "run 1" {
			t.Errorf("the receipt is %q", receipt)
		}
	}

	for _, key := range []string{
		"key", uuidLower[1:], uuidLower + "0", strings.ReplaceAll(uuidLower, "-", ""), strings.Replace(uuidLower, "-", "0", 1),
		strings.Replace(uuidLower, "f", "g", 1), "{" + uuidLower + "}",
	} {
		_, a := b.call(t.Context(), b.conn, "request_id", key)
		a.mustBe(t, keyInvalid)

		_, a = b.call(withKey(t.Context(), key), b.conn)
		a.mustBe(t, keyInvalid)
	}

	_, a := b.call(withKey(t.Context(), strings.Replace(uuidLower, "f", "e", 1)), b.conn, "request_id", uuidLower)
	a.mustBe(t, keyInvalid)
	b.mustHaveRun(t, 1)
}

func TestClientMakesAndNormalisesUUIDs(t *testing.T) {
	b := startDeclared(t, declaration{request: str("request_id", 1, "key: true"), uuid: true})
	seen := &journal{}

	dial, err := interceptor.DialOptions(seen.option())
	if err != nil {
		t.Fatal(err)
	}

	conn := b.dial(t, dial...)

	_, a := b.call(t.Context(), conn)
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	version4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if key := seen.seen()[0].Key; !version4.MatchString(key) {
		t.Errorf("the key is %q, want a UUID of version 4", key)
	}

	_, a = b.call(onlyonce.ContextWithKey(t.Context(), uuidUpper), conn, "request_id", uuidLower)
	a.mustHaveStatus(t, onlyonce.StatusExecuted)

	_, a = b.call(onlyonce.ContextWithKey(t.Context(), "no-uuid-at-all"), conn)
	if reason := a.info(t).GetReason(); reason != string(onlyonce.ReasonKeyInvalid) || status.Code(a.err) != codes.InvalidArgument {
		t.Errorf("the answer is %v", a.err)
	}

	b.mustHaveRun(t, 2)
}

func TestMethodWhoseAnnotationsCannotHoldIsRefused(t *testing.T) {
	key := str("request_id", 1, "key: true")

	tests := map[string]struct {
		declared declaration
		opts     []interceptor.ServerOption
		unkeyed  bool // calls without a key are rejected
	}{
		"a transaction that the store does not have": {
			declared: declaration{request: key, method: "[onlyonce.v1.method] { guarantee: GUARANTEE_EXACTLY_ONCE }"},
		},
		"a required key as well": {
			declared: declaration{
				request: key, method: "[onlyonce.v1.method] { guarantee: GUARANTEE_EXACTLY_ONCE key: KEY_USE_REQUIRED }",
			},
			unkeyed: true,
		},
		"a policy that is too wide for an operator's": {
			declared: declaration{request: key, method: "[onlyonce.v1.method] { guarantee: GUARANTEE_AT_LEAST_ONCE fail_open: true }"},
			opts:     policy(onlyonce.Policy{Guarantee: onlyonce.AtMostOnce}),
		},
		"a use of keys that nobody knows": {
			declared: declaration{request: key, method: "[onlyonce.v1.method] { key: 9 }"}, unkeyed: true,
		},
		"two keys": {declared: declaration{request: key + str("other", 2, "key: true")}, unkeyed: true},
		"two keys, and an operator who requires none": {
			declared: declaration{request: key + str("other", 2, "key: true")},
			opts:     keyPolicy(interceptor.Policy{Key: interceptor.KeyOptional}), unkeyed: true,
		},
		"a key that is required where keys are ignored": {
			declared: declaration{
				request: key, method: "idempotency_level: NO_SIDE_EFFECTS [onlyonce.v1.method] { key: KEY_USE_REQUIRED }",
			},
			unkeyed: true,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, test.declared, test.opts...)

			_, a := b.call(withKey(t.Context(), "key"), b.conn)
			mustBeRefused(t, b, a)

			_, a = b.call(t.Context(), b.conn, "request_id", "key")
			mustBeRefused(t, b, a)

			_, a = b.call(t.Context(), b.conn)
			if test.unkeyed {
				mustBeRefused(t, b, a)
				b.mustHaveRun(t, 0)
			} else {
				b.mustHaveRun(t, 1)
			}

			if err := validate(servicesOf(b.service), b.engine, test.opts...); err == nil {
				t.Error("Validate finds nothing")
			}
		})
	}
}

func mustBeRefused(t *testing.T, b *declaredBank, a answer) {
	t.Helper()

	a.mustHaveStatus(t, onlyonce.StatusRejected)

	if st := status.Convert(a.err); st.Code() != codes.Internal || !strings.Contains(st.Message(), "nothing was executed") || a.headerFrame {
		t.Errorf("the answer is %v", a.err)
	}

	if strings.Contains(a.err.Error(), "interceptor:") {
		t.Errorf("the caller is told what only operators may know: %v", a.err)
	}

	last := b.events[len(b.events)-1]
	if last.Err == nil || !strings.Contains(last.Err.Error(), string(b.service.ParentFile().Package())) {
		t.Errorf("the observer is told %v", last.Err)
	}
}

func TestOperatorMayIgnoreTheKeysOfAMethodThatCannotHold(t *testing.T) {
	d := declaration{pkg: newPackage(), request: str("a", 1, "key: true") + str("b", 2, "key: true")}
	ignored := interceptor.WithMethodPolicy("/"+d.pkg+".Bank/Pay", interceptor.Policy{Key: interceptor.KeyIgnored})
	b := startDeclared(t, d, ignored)

	for range 2 {
		_, a := b.call(withKey(t.Context(), "key"), b.conn, "a", "x")
		if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
			t.Errorf("the answer is %v with trailer %v", a.err, a.trailer)
		}
	}

	b.mustHaveRun(t, 2)

	if err := validate(servicesOf(b.service), b.engine, ignored); err != nil {
		t.Errorf("Validate: %v", err)
	}
}

// The invalid option protects nothing, because the same .proto gives up protection in another option.
func TestBrokenOptionsOfAMethodWhoseKeysAreIgnoredAreReportedAndDoNotRefuseIt(t *testing.T) {
	for name, options := range map[string]string{
		"its keys are ignored": "[onlyonce.v1.method] { key: KEY_USE_IGNORED retention { seconds: -1 } }",
		"it reads":             "idempotency_level: NO_SIDE_EFFECTS [onlyonce.v1.method] { retention { seconds: -1 } }",
	} {
		t.Run(name, func(t *testing.T) {
			b := startDeclared(t, declaration{request: str("request_id", 1, "key: true"), method: options})

			for range 2 {
				_, a := b.call(withKey(t.Context(), "key"), b.conn, "request_id", "key")
				if a.err != nil || len(a.trailer.Get(interceptor.StatusTrailer)) != 0 {
					t.Errorf("the answer is %v with trailer %v", a.err, a.trailer)
				}
			}

			b.mustHaveRun(t, 2)
			mustName(t, validate(servicesOf(b.service), b.engine), b.pay, "retention is -1s")
		})
	}
}

// Before the service is registered, no other option contradicts this one.
func TestKeyThatAnOptionRequiresIsNotIgnoredWhenAServiceThatReadsIsRegisteredLate(t *testing.T) {
	pkg := newPackage()
	pay := "/" + pkg + ".Bank/Pay"
	e := engine(t)
	required := interceptor.WithMethodPolicy(pay, interceptor.Policy{Key: interceptor.KeyRequired})

	protect, err := interceptor.NewServer(e, interceptor.ScopeShared(), required)
	if err != nil {
		t.Fatal(err)
	}

	_, service := declaration{pkg: pkg, method: "idempotency_level: NO_SIDE_EFFECTS"}.register(t)

	for _, ctx := range []context.Context{incoming(t.Context()), incoming(t.Context(), interceptor.KeyHeader, "key")} {
		req := dynamicpb.NewMessage(service.Methods().Get(0).Input())

		_, err := protect.Unary(ctx, req, &grpc.UnaryServerInfo{FullMethod: pay}, func(context.Context, any) (any, error) {
			t.Error("the handler ran without protection")

			return req, nil
		})
		if status.Code(err) != codes.Internal {
			t.Errorf("the answer is %v", err)
		}
	}

	mustName(t, validate(servicesOf(service), e, required), pay, "NO_SIDE_EFFECTS", "choose one")
}

func TestRequestOfAnotherTypeThanInTheDescriptorIsRefused(t *testing.T) {
	b := startDeclared(t, declaration{request: str("request_id", 1, "key: true")})

	protect, err := interceptor.NewServer(b.engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	for name, req := range map[string]any{"another message": payment(), "no message": "a text"} {
		_, err := protect.Unary(incoming(t.Context()), req, &grpc.UnaryServerInfo{FullMethod: b.pay}, func(context.Context, any) (any, error) {
			t.Errorf("%s: the handler ran, and nobody knows whether there was a key", name)

			return payment(), nil
		})
		if status.Code(err) == codes.OK {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMethodIsRefusedWhileNobodyKnowsItsRequest(t *testing.T) {
	b := startDeclared(t, declaration{input: ".nowhere.v1.PKGRequest"})

	for _, ctx := range []context.Context{t.Context(), withKey(t.Context(), "key")} {
		_, a := b.call(ctx, b.conn)
		mustBeRefused(t, b, a)
	}

	b.mustHaveRun(t, 0)
}

func TestKeyIsTakenFromARequestThatIsRegisteredAfterItsService(t *testing.T) {
	b := startDeclared(t, declaration{
		input: ".PKG.Late", after: `syntax: "proto3" message_type { name: "Late" ` + str("request_id", 1, "key: true") + `}`,
	})

	found, err := protoregistry.GlobalFiles.FindDescriptorByName(b.service.Methods().ByName("Pay").Input().FullName())
	if err != nil {
		t.Fatal(err)
	}

	late, _ := found.(protoreflect.MessageDescriptor)

	protect, err := interceptor.NewServer(b.engine, interceptor.ScopeShared())
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		req := dynamicpb.NewMessage(late)
		set(req, "request_id", "key")

		_, err := protect.Unary(incoming(t.Context()), req, &grpc.UnaryServerInfo{FullMethod: b.pay}, func(context.Context, any) (any, error) {
			b.runs.Add(1)

			return dynamicpb.NewMessage(b.service.Methods().ByName("Pay").Output()), nil
		})
		if err != nil {
			t.Error(err)
		}
	}

	b.mustHaveRun(t, 1)
}

func TestRequestThatIsNestedTooDeeplyIsTheCallersToMend(t *testing.T) {
	b := startDeclared(t, declaration{
		request: field("part", 1, ofPart, ""), messages: `message_type { name: "Part" ` + field("part", 1, ofPart, "") + `}`,
	})

	for nested, refused := range map[int]bool{fingerprint.MaxDepth - 1: false, fingerprint.MaxDepth: true} {
		t.Run(fmt.Sprintf("%d messages within the request", nested), func(t *testing.T) {
			req := dynamicpb.NewMessage(b.service.Methods().ByName("Pay").Input())
			resp := dynamicpb.NewMessage(b.service.Methods().ByName("Pay").Output())

			at := req.ProtoReflect()
			for range nested {
				at = at.Mutable(at.Descriptor().Fields().ByName("part")).Message()
			}

			a := answer{}
			a.err = b.conn.Invoke(withKey(t.Context(), "key"), b.pay, req, resp, grpc.Header(&a.header), grpc.Trailer(&a.trailer))

			if !refused {
				a.mustHaveStatus(t, onlyonce.StatusExecuted)

				return
			}

			a.mustHaveStatus(t, onlyonce.StatusRejected)

			if st := status.Convert(a.err); st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), "fewer levels") ||
				len(a.header) != 0 {
				t.Errorf("the answer is %v with header %v", a.err, a.header)
			}
		})
	}

	b.mustHaveRun(t, 1)
}
