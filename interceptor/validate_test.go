package interceptor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	bankv1 "github.com/onlyonce-go/onlyonce/interceptor/internal/testproto/bank/v1"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// Types of fields in a declaration.
const (
	aString   = "type: TYPE_STRING label: LABEL_OPTIONAL"
	severals  = "type: TYPE_STRING label: LABEL_REPEATED"
	anInt     = "type: TYPE_INT64 label: LABEL_OPTIONAL"
	inOneof   = "type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0"
	ofPart    = "type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: '.PKG.Part'"
	optionalA = "type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 proto3_optional: true"
)

func method(settings string) string { return "[onlyonce.v1.method] { " + settings + " }" }

func rpc(name, input, options string) string {
	return `method { name: "` + name + `" input_type: ".PKG.` + input + `" output_type: ".PKG.Response" options { ` + options + ` } }`
}

// watch declares a method that streams.
func watch(options string) string {
	return `method { name: "Watch" server_streaming: true
		input_type: ".PKG.Request" output_type: ".PKG.Response" options { ` + options + ` } }`
}

func TestValidateFindsEveryProblemOfAnAnnotation(t *testing.T) {
	const pay, request = "/PKG.Bank/Pay", "field PKG.Request."

	tests := map[string]struct {
		declared declaration
		want     []string // nothing where there is no problem; PKG is the package
	}{
		// The fields.
		"a good key": {declaration{request: str("a", 1, "key: true")}, nil},
		"a key with explicit presence": {
			declaration{request: field("a", 1, optionalA, "key: true") + `oneof_decl { name: "_a" }`}, nil,
		},
		"two keys": {
			declaration{request: str("a", 1, "key: true") + str("b", 2, "key: true")}, []string{request + "b", "so is a", "mark one"},
		},
		"a repeated key": {declaration{request: field("a", 1, severals, "key: true")}, []string{request + "a", "repeated"}},
		"a key in a oneof": {
			declaration{request: field("a", 1, inOneof, "key: true") + `oneof_decl { name: "o" }`}, []string{request + "a", "oneof o"},
		},
		"a key of an integer": {declaration{request: field("a", 1, anInt, "key: true")}, []string{request + "a", "int64", "mark a string"}},
		"a map as key": {
			declaration{request: field("a", 1, "type: TYPE_MESSAGE label: LABEL_REPEATED type_name: '.PKG.Request.AEntry'", "key: true") +
				`nested_type { name: "AEntry" ` + field("key", 1, aString, "") + field("value", 2, aString, "") + ` options { map_entry: true } }`},
			[]string{request + "a", "map"},
		},
		"a key in a message within the request": {
			declaration{request: field("part", 1, ofPart, ""), messages: `message_type { name: "Part" ` + str("a", 1, "key: true") + `}`},
			[]string{"field PKG.Part.a", "within the request", "request itself"},
		},
		"a key in a message within the request that has one itself": {
			declaration{
				request:  field("part", 1, ofPart, "") + str("b", 2, "key: true"),
				messages: `message_type { name: "Part" ` + str("a", 1, "key: true") + `}`,
			},
			nil,
		},
		"a batch of requests of another method": {
			declaration{
				request:  field("parts", 1, "type: TYPE_MESSAGE label: LABEL_REPEATED type_name: '.PKG.Part'", ""),
				messages: `message_type { name: "Part" ` + str("a", 1, "key: true") + str("b", 2, "scope: true") + `}`,
				methods:  rpc("PayPart", "Part", ""),
			},
			nil,
		},
		"a batch of requests of a service in another file": {
			declaration{
				before:  `syntax: "proto3" message_type { name: "Part" ` + str("a", 1, "key: true") + str("b", 2, "scope: true") + `}`,
				request: field("parts", 1, "type: TYPE_MESSAGE label: LABEL_REPEATED type_name: '.PKG.Part'", ""),
				after: `syntax: "proto3" service { name: "Single" method {
					name: "PayPart" input_type: ".PKG.Part" output_type: ".PKG.Response" } }`,
			},
			nil,
		},
		"a batch of requests that its own service takes from another file": {
			declaration{
				before:  `syntax: "proto3" message_type { name: "Part" ` + str("a", 1, "key: true") + str("b", 2, "scope: true") + `}`,
				request: field("parts", 1, "type: TYPE_MESSAGE label: LABEL_REPEATED type_name: '.PKG.Part'", ""),
				methods: rpc("PayPart", "Part", ""),
			},
			nil,
		},
		"a message of another file that no method takes": {
			declaration{
				before:  `syntax: "proto3" message_type { name: "Part" ` + str("a", 1, "key: true") + str("b", 2, "scope: true") + `}`,
				request: field("part", 1, ofPart, ""),
			},
			[]string{"field PKG.Part.a", "field PKG.Part.b", "within the request", "link in the service"},
		},
		"a request of which nothing is known": {
			declaration{input: ".nowhere.v1.PKGRequest"}, []string{pay, "takes a nowhere.v1.PKGRequest", "no registered", "register its file"},
		},
		"a message within the request of which nothing is known": {
			declaration{request: str("a", 1, "key: true") +
				field("b", 2, "type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: '.nowhere.v1.Part'", "")}, nil,
		},
		"a request that is known by now": {declaration{
			input: ".PKG.Late", after: `syntax: "proto3" message_type { name: "Late" ` + field("a", 1, severals, "key: true") + `}`,
		}, []string{"field PKG.Late.a", "repeated"}},
		"extensions with marks": {
			declaration{
				before: `syntax: "proto2" message_type { name: "Open" ` + str("a", 1, "key: true") + ` extension_range { start: 100 end: 200 } }`,
				input:  ".PKG.Open",
				after: `syntax: "proto2"
					extension { name: "other" extendee: ".PKG.Open" number: 100 ` + aString + ` options { [onlyonce.v1.field] { key: true } } }
					extension { name: "plain" extendee: ".PKG.Open" number: 101 ` + aString + ` }
					message_type { name: "Holder" extension {
						name: "sent" extendee: ".PKG.Open" number: 102 ` + aString + ` options { [onlyonce.v1.field] { ignored: true } } } }`,
			},
			[]string{"field PKG.other", "field PKG.Holder.sent", "is an extension", "PKG.Open declares itself"},
		},
		"an extension with a mark of a message within the request": {
			declaration{
				before:  `syntax: "proto2" message_type { name: "Part" ` + str("a", 1, "") + ` extension_range { start: 100 end: 200 } }`,
				request: field("part", 1, ofPart, ""),
				after: `syntax: "proto2"
					extension { name: "tenant" extendee: ".PKG.Part" number: 100 ` + aString + ` options { [onlyonce.v1.field] { scope: true } } }`,
			},
			[]string{"field PKG.tenant", "is an extension"},
		},
		"a key whose format cannot be read": {
			declaration{request: str("a", 1, "key: true"), format: []byte{0x08}}, []string{request + "a", "field_info", "cannot be read"},
		},
		"a key whose format is no number": {
			declaration{request: str("a", 1, "key: true"), format: []byte{0x0a, 0x00}}, []string{request + "a", "field_info", "cannot be read"},
		},
		"a key of another format": {declaration{request: str("a", 1, "key: true"), format: []byte{0x08, 0x02}}, nil},
		"a message that contains itself": {
			declaration{
				request:  field("part", 1, ofPart, ""),
				messages: `message_type { name: "Part" ` + field("part", 1, ofPart, "") + str("a", 2, "scope: true") + `}`,
			},
			[]string{"field PKG.Part.a", "scope", "within the request"},
		},
		"a scope of an integer": {declaration{request: field("a", 1, anInt, "scope: true")}, []string{request + "a", "string or bytes"}},
		"a repeated scope":      {declaration{request: field("a", 1, severals, "scope: true")}, []string{request + "a", "repeated"}},
		"an ignored key":        {declaration{request: str("a", 1, "key: true ignored: true")}, []string{request + "a", "key and as ignored"}},
		"an ignored scope": {
			declaration{request: str("a", 1, "scope: true ignored: true")}, []string{request + "a", "scope and as ignored"},
		},
		"a key as scope": {declaration{request: str("a", 1, "key: true scope: true")}, []string{request + "a", "choose one"}},
		"what is not protected is free": {
			declaration{request: str("a", 1, "key: true") + str("b", 2, "key: true"), method: method("key: KEY_USE_IGNORED")}, nil,
		},

		// The options.
		"good options": {declaration{
			service: "[onlyonce.v1.service] { guarantee: GUARANTEE_AT_LEAST_ONCE fail_open: true max_wait {} }",
			method:  method("key: KEY_USE_REQUIRED classes { code: 13 class: OUTCOME_CLASS_DEFINITE }"),
		}, nil},
		"a negative retention":    {declaration{method: method("retention { seconds: -5 }")}, []string{pay, "retention is -5s"}},
		"a retention of zero":     {declaration{method: method("retention {}")}, []string{pay, "retention is 0s", "leave it out"}},
		"a lease of zero":         {declaration{method: method("lease {}")}, []string{pay, "lease is 0s"}},
		"a negative run":          {declaration{method: method("max_run { seconds: -1 }")}, []string{pay, "max_run is -1s"}},
		"a negative wait":         {declaration{method: method("max_wait { nanos: -1 }")}, []string{pay, "max_wait is -1ns"}},
		"a duration that is none": {declaration{method: method("lease { seconds: 1 nanos: -1 }")}, []string{pay, "lease"}},
		"no attempts":             {declaration{method: method("max_attempts: 0")}, []string{pay, "max_attempts is 0"}},
		"no outcome":              {declaration{method: method("max_outcome: 0")}, []string{pay, "max_outcome is 0"}},
		"a lease longer than the run": {
			declaration{method: method("lease { seconds: 60 }")}, []string{pay, "MaxRun is 25s", "give at least Lease, which is 1m0s"},
		},
		"a transaction that the store does not have": {
			declaration{method: method("guarantee: GUARANTEE_EXACTLY_ONCE")}, []string{pay, "EXACTLY_ONCE", "use a store"},
		},
		"fail-open where it may run twice": {declaration{method: method("fail_open: true")}, []string{pay, "StoreDown is FailOpen"}},
		"numbers that nobody knows": {
			declaration{method: method("guarantee: 9 key: 8 key_form: 7 transaction: 6")},
			[]string{pay, "guarantee is 9", "key is 8", "key_form is 7", "transaction is 6"},
		},
		"a class for OK": {
			declaration{method: method("classes { class: OUTCOME_CLASS_DEFINITE }")}, []string{pay, "code 0", "error code"},
		},
		"a code that nobody knows": {
			declaration{method: method("classes { code: 17 class: OUTCOME_CLASS_DEFINITE }")}, []string{pay, "code 17"},
		},
		"a class that says nothing": {
			declaration{method: method("classes { code: 13 }")}, []string{pay, "code 13 (INTERNAL)", "give DEFINITE"},
		},
		"a class that nobody knows": {declaration{method: method("classes { code: 13 class: 9 }")}, []string{pay, "code 13"}},
		"a code that is named twice": {
			declaration{method: method("classes { code: 13 class: OUTCOME_CLASS_DEFINITE } classes { code: 13 class: OUTCOME_CLASS_AMBIGUOUS }")},
			[]string{pay, "code 13 (INTERNAL) twice"},
		},
		"a key that is required where keys are ignored": {
			declaration{method: "idempotency_level: NO_SIDE_EFFECTS " + method("key: KEY_USE_REQUIRED")},
			[]string{pay, "NO_SIDE_EFFECTS", "choose one"},
		},
		"a service that requires keys, and a method that reads": {
			declaration{service: "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }", method: "idempotency_level: NO_SIDE_EFFECTS"}, nil,
		},
		"a retention that clients outlast": {
			declaration{method: method("retention { seconds: 60 }")}, []string{pay, "keeps outcomes for 1m0s", "2m0s", "raise"},
		},
		"a retention that clients outlast, since they wait": {
			declaration{method: method("max_wait { seconds: 86400 }")}, []string{pay, "keeps outcomes for 24h0m0s", "lower MaxRun and MaxWait"},
		},

		// The streams.
		"a key that is required on a stream": {
			declaration{methods: watch(method("key: KEY_USE_REQUIRED"))},
			[]string{"/PKG.Bank/Watch", "stream", "KEY_USE_IGNORED"},
		},
		"a service that requires keys, and a stream": {
			declaration{
				service: "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }", methods: watch(""),
			},
			[]string{"/PKG.Bank/Watch", "stream"},
		},
		"a stream with a policy": {
			declaration{methods: watch(method("detached: false"))},
			[]string{"/PKG.Bank/Watch", "policy of its own"},
		},
		"a stream whose request has a key": {
			declaration{request: str("a", 1, "key: true"), methods: watch("")},
			[]string{"/PKG.Bank/Watch", "field PKG.Request.a, which is marked", "stream", "KEY_USE_IGNORED"},
		},
		"a stream whose request has a scope": {
			declaration{request: str("a", 1, "scope: true"), methods: watch("")}, []string{"/PKG.Bank/Watch", "field PKG.Request.a", "stream"},
		},
		"a stream whose request has a key that is no string": {
			declaration{input: ".PKG.Response", request: field("a", 1, anInt, "key: true"), methods: watch("")},
			[]string{"/PKG.Bank/Watch", "field PKG.Request.a", "stream"},
		},
		"a stream that reads a request with a key": {
			declaration{request: str("a", 1, "key: true"), methods: watch("idempotency_level: NO_SIDE_EFFECTS")}, nil,
		},
		"a stream that ignores a key in its request": {
			declaration{request: str("a", 1, "key: true"), methods: watch(method("key: KEY_USE_IGNORED"))}, nil,
		},
		"a stream whose keys are ignored": {
			declaration{
				service: "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }",
				methods: watch(method("key: KEY_USE_IGNORED")),
			},
			nil,
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pkg, service := test.declared.register(t)
			err := validate(servicesOf(service), engine(t))

			if test.want == nil {
				if err != nil {
					t.Errorf("Validate: %v", err)
				}

				return
			}

			for i, want := range test.want {
				test.want[i] = strings.ReplaceAll(want, "PKG", pkg)
			}

			mustName(t, err, test.want...)
		})
	}
}

// One call reports all mistakes of a server, each with its name and its remedy.
func TestValidateNamesEachMistakeAndItsRemedyAtOnce(t *testing.T) {
	message := func(name, fields string) string { return `message_type { name: "` + name + `" ` + fields + ` }` }

	pkg, service := declaration{
		request: str("first", 1, "key: true") + str("second", 2, "key: true"),
		messages: message("Many", field("keys", 1, severals, "key: true")) +
			message("Choice", field("either", 1, inOneof, "key: true")+`oneof_decl { name: "choice" }`) +
			message("Number", field("count", 1, anInt, "key: true")) +
			message("Dropped", str("key", 1, "key: true ignored: true")),
		methods: rpc("PayMany", "Many", "") + rpc("PayChoice", "Choice", "") + rpc("PayNumber", "Number", "") + rpc("PayDropped", "Dropped", "") +
			rpc("KeepNever", "Response", method("retention { seconds: -1 }")) +
			rpc("LeaseNever", "Response", method("lease { seconds: -2 }")) +
			rpc("RunNever", "Response", method("max_run { seconds: -3 }")) +
			rpc("WaitNever", "Response", method("max_wait { seconds: -4 }")) +
			rpc("LeaseLong", "Response", method("lease { seconds: 60 }")) +
			rpc("Transact", "Response", method("guarantee: GUARANTEE_EXACTLY_ONCE")) +
			rpc("KeepShortly", "Response", method("retention { seconds: 60 }")) +
			watch(method("key: KEY_USE_REQUIRED")),
	}.register(t)

	err := validate(servicesOf(service), engine(t))
	if err == nil {
		t.Fatal("Validate finds nothing")
	}

	problems := strings.Split(err.Error(), "\n")

	for _, want := range [][3]string{
		{"field PKG.Request.second", "is marked as the key, and so is first", "mark one of them"},
		{"field PKG.Many.keys", "is repeated", "mark a field with a single value"},
		{"field PKG.Choice.either", "is in oneof choice", "mark a field outside of oneofs"},
		{"field PKG.Number.count", "is of type int64", "mark a string"},
		{"field PKG.Dropped.key", "as the key and as ignored", "leave ignored out"},
		{"/PKG.Bank/KeepNever", "retention is -1s", "give a positive duration, or leave it out"},
		{"/PKG.Bank/LeaseNever", "lease is -2s", "give a positive duration, or leave it out"},
		{"/PKG.Bank/RunNever", "max_run is -3s", "give a positive duration, or leave it out"},
		{"/PKG.Bank/WaitNever", "max_wait is -4s", "give a positive duration, zero for no wait, or leave it out"},
		{"/PKG.Bank/LeaseLong", "MaxRun is 25s", "give at least Lease, which is 1m0s"},
		{"/PKG.Bank/Transact", "Guarantee is EXACTLY_ONCE, and this store has no transactions", "use a store that"},
		{"/PKG.Bank/KeepShortly", "keeps outcomes for 1m0s, and a client that retries as it does by default may take", "raise the retention"},
		{"/PKG.Bank/Watch", "requires a key and is a stream", "set KEY_USE_IGNORED in its .proto"},
	} {
		name := strings.ReplaceAll(want[0], "PKG", pkg)

		if !slices.ContainsFunc(problems, func(problem string) bool {
			what := strings.Index(problem, want[1])

			return (strings.Contains(problem, name+" ") || strings.Contains(problem, name+":")) &&
				what >= 0 && strings.Contains(problem[what:], want[2])
		}) {
			t.Errorf("no problem says that %s %q: %q", name, want[1], want[2])
		}
	}

	if len(problems) != 13 {
		t.Errorf("%d problems, want 13:\n%v", len(problems), err)
	}
}

func TestValidateListsEveryProblemAtOnceAndEachOnce(t *testing.T) {
	_, service := declaration{
		request: str("a", 1, "key: true") + str("b", 2, "key: true") + str("c", 3, "key: true ignored: true"),
		service: "[onlyonce.v1.service] { retention { seconds: -1 } lease {} }",
		method:  method("max_attempts: 0"),
		methods: rpc("Refund", "Request", method("guarantee: GUARANTEE_EXACTLY_ONCE")),
	}.register(t)

	err := validate(servicesOf(service), engine(t),
		interceptor.WithServicePolicy("nobody.v1.Nothing", interceptor.Policy{}),
		interceptor.WithMethodPolicy("/nobody.v1.Other/Nothing", interceptor.Policy{}),
	)
	mustName(t, err, "Request.b", "Request.c", "retention is -1s", "lease is 0s", "max_attempts is 0", "EXACTLY_ONCE",
		"nobody.v1.Nothing", "/Nothing")

	for line := range strings.SplitSeq(err.Error(), "\n") {
		if n := strings.Count(err.Error(), line); n != 1 {
			t.Errorf("%d times: %s", n, line)
		}

		if !strings.Contains(line, string(service.ParentFile().Package())) && !strings.Contains(line, "nobody.v1") {
			t.Errorf("a problem without a name: %s", line)
		}
	}
}

func TestValidateJudgesOptionsByWhatIsRegistered(t *testing.T) {
	required := interceptor.Policy{Key: interceptor.KeyRequired}
	_, service := declaration{methods: watch("")}.register(t)
	name := string(service.FullName())

	tests := map[string]struct {
		server registeredServices
		opts   []interceptor.ServerOption
		want   []string
	}{
		"no options": {},
		"a service that is not registered": {
			opts: []interceptor.ServerOption{interceptor.WithServicePolicy(testService, required)}, want: []string{testService, "not registered"},
		},
		"a method that is not registered": {
			opts: []interceptor.ServerOption{interceptor.WithMethodPolicy(unaryCall, required)}, want: []string{unaryCall, "not registered"},
		},
		"a stream that requires a key": {
			opts: []interceptor.ServerOption{interceptor.WithMethodPolicy("/"+name+"/Watch", required)}, want: []string{name + "/Watch", "stream"},
		},
		"a service with a stream that requires keys": {
			opts: []interceptor.ServerOption{interceptor.WithServicePolicy(name, required)}, want: []string{name + "/Watch", "stream"},
		},
		"a server with a stream that requires keys": {opts: keyPolicy(required), want: []string{name + "/Watch", "stream"}},
		"a server with a stream that is left out": {
			opts: append(keyPolicy(required),
				interceptor.WithMethodPolicy("/"+name+"/Watch", interceptor.Policy{Key: interceptor.KeyIgnored})),
		},
		"a server that requires keys, and the streams of gRPC": {
			server: servicesOf(healthv1.File_grpc_health_v1_health_proto.Services().Get(0)), opts: keyPolicy(required),
		},
		"a stream with a policy": {
			opts: []interceptor.ServerOption{
				interceptor.WithMethodPolicy("/"+name+"/Watch", interceptor.Policy{Policy: onlyonce.Policy{MaxAttempts: 2}}),
			},
			want: []string{name + "/Watch", "policy of its own"},
		},
		"a key that is required on a method that no descriptor knows": {
			server: registeredServices{"onlyonce.test.Hidden": {Methods: []grpc.MethodInfo{{Name: "Call"}}}},
			opts:   keyPolicy(required), want: []string{hiddenCall, "no registered descriptor"},
		},
		"a retention that clients outlast": {
			opts: policy(onlyonce.Policy{Retention: time.Minute}), want: []string{name + "/Pay", "keeps outcomes for 1m0s"},
		},
		"options that cannot hold whatever is registered": {
			opts: keyPolicy(interceptor.Policy{Classes: map[codes.Code]onlyonce.Class{codes.OK: 0}}), want: []string{"policy of the server"},
		},
	}

	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			server := test.server
			if server == nil {
				server = servicesOf(service)
			}

			err := validate(server, engine(t), test.opts...)
			if test.want == nil && err != nil {
				t.Errorf("Validate: %v", err)
			}

			if test.want != nil {
				mustName(t, err, test.want...)
			}
		})
	}
}

func TestValidateTakesAServerOfGRPC(t *testing.T) {
	server := grpc.NewServer()
	bankv1.RegisterBankServiceServer(server, bankv1.UnimplementedBankServiceServer{})

	if err := validate(server, engine(t)); err != nil {
		t.Errorf("Validate: %v", err)
	}

	err := validate(server, engine(t), policy(onlyonce.Policy{Retention: 3 * time.Minute})...)
	mustName(t, err, transferCall, "3m0s", "promises clients 48h0m0s")

	mustName(t, validate(nil, engine(t)), "needs a server")
	mustName(t, validate(server, nil), "has no engine")
}

func TestKeyRulesThatRefuseTheDeclaredUUIDsAreAProblem(t *testing.T) {
	_, service := declaration{request: str("a", 1, "key: true"), uuid: true}.register(t)
	pay := "/" + string(service.FullName()) + "/Pay"

	for want, rules := range map[string]onlyonce.KeyRules{
		"":                    onlyonce.StrictKeys(),
		"1 to 20 characters":  {MaxLength: 20},
		"character 'a' at":    {Alphabet: "0123456789ABCDEF-"}, // they are lower-cased before
		"40 to 64 characters": {MinLength: 40, MaxLength: 64},
	} {
		err := validate(servicesOf(service), engine(t), keyPolicy(interceptor.Policy{KeyRules: &rules})...)
		if want != "" {
			mustName(t, err, pay, "keys are UUIDs", want, "allow 36 characters")
		} else if err != nil {
			t.Errorf("Validate: %v", err)
		}
	}
}

func TestSettingOfALaterVersionIsAProblem(t *testing.T) {
	later := new(onlyoncev1.Policy)
	later.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127

	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, onlyoncev1.E_Method, later)

	_, service := declaration{method: "[onlyonce.v1.method] { }", later: options}.register(t)
	mustName(t, validate(servicesOf(service), engine(t)), "/Pay", "does not know")
}

func TestOptionOfAnotherKindUnderTheSameNumberIsAProblem(t *testing.T) {
	options := new(descriptorpb.MethodOptions)
	tag := protowire.AppendTag(nil, onlyoncev1.E_Method.TypeDescriptor().Number(), protowire.BytesType)
	options.ProtoReflect().SetUnknown(protowire.AppendBytes(tag, []byte{0x08, 0xff})) // not a message

	_, service := declaration{later: options}.register(t)
	mustName(t, validate(servicesOf(service), engine(t)), "/Pay", "cannot be read")
}
