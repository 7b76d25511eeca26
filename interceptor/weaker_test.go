package interceptor_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
)

// weakening is an option of a server that gives less than a .proto promises.
type weakening struct {
	promised string // in the option of a method
	field    string // of the request, if any
	given    interceptor.Policy
	named    []string // nothing where it is no weakening
}

func weakenings() map[string]weakening {
	strict, loose, narrow := onlyonce.StrictKeys(), onlyonce.KeyRules{}, onlyonce.StrictKeys()
	narrow.MinLength, narrow.MaxLength = 20, 40
	least := "guarantee: GUARANTEE_AT_LEAST_ONCE "

	engine := func(p onlyonce.Policy) interceptor.Policy { return interceptor.Policy{Policy: p} }
	classes := func(class onlyonce.Class) interceptor.Policy {
		return interceptor.Policy{Classes: map[codes.Code]onlyonce.Class{codes.Aborted: class}}
	}

	return map[string]weakening{
		"a guarantee": {
			promised: "guarantee: GUARANTEE_AT_MOST_ONCE", given: engine(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce}),
			named: []string{"Guarantee AT_LEAST_ONCE", "guarantee AT_MOST_ONCE"},
		},
		"a stricter guarantee": {promised: least, given: engine(onlyonce.Policy{Guarantee: onlyonce.AtMostOnce})},
		"the same guarantee":   {promised: least, given: engine(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce})},
		"another transaction": {
			promised: "transaction: TRANSACTION_SINGLE", given: engine(onlyonce.Policy{TransactionMode: onlyonce.JoinedTransaction}),
			named: []string{"joined transaction", "single transaction"},
		},
		"the same transaction": {
			promised: "transaction: TRANSACTION_JOINED", given: engine(onlyonce.Policy{TransactionMode: onlyonce.JoinedTransaction}),
		},
		"a required key": {
			promised: "key: KEY_USE_REQUIRED", given: interceptor.Policy{Key: interceptor.KeyOptional},
			named: []string{"KeyOptional", "KEY_USE_REQUIRED"},
		},
		"a required key that is ignored": {
			promised: "key: KEY_USE_REQUIRED", given: interceptor.Policy{Key: interceptor.KeyIgnored},
			named: []string{"KeyIgnored", "KEY_USE_REQUIRED"},
		},
		"an optional key": {
			promised: "key: KEY_USE_OPTIONAL", given: interceptor.Policy{Key: interceptor.KeyIgnored}, named: []string{"KeyIgnored", "rely on"},
		},
		"the key in the request": {
			field: "key: true", given: interceptor.Policy{Key: interceptor.KeyIgnored}, named: []string{"KeyIgnored", "rely on"},
		},
		"a key that need not be required": {promised: "key: KEY_USE_OPTIONAL", given: interceptor.Policy{Key: interceptor.KeyRequired}},
		"a key that nobody has asked for": {given: interceptor.Policy{Key: interceptor.KeyIgnored}},
		"a key that is ignored anyhow":    {promised: "key: KEY_USE_IGNORED", given: interceptor.Policy{Key: interceptor.KeyIgnored}},
		"the form of keys": {
			promised: "key_form: KEY_FORM_STRICT", given: interceptor.Policy{KeyRules: &loose}, named: []string{"KeyRules", "key_form"},
		},
		"keys without their time": {
			promised: "key_form: KEY_FORM_TIME_ORDERED", given: interceptor.Policy{KeyRules: &strict}, named: []string{"KeyRules", "key_form"},
		},
		"the same form of keys": {promised: "key_form: KEY_FORM_STRICT", given: interceptor.Policy{KeyRules: &strict}},
		"a stricter form":       {promised: "key_form: KEY_FORM_STRICT", given: interceptor.Policy{KeyRules: &narrow}},
		"fail-open": {
			promised: least + "fail_open: false", given: engine(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, StoreDown: onlyonce.FailOpen}),
			named: []string{"StoreDown FailOpen", "fail_open false"},
		},
		"detached runs": {
			promised: least + "detached: true", given: engine(onlyonce.Policy{Guarantee: onlyonce.AtLeastOnce, Detachment: onlyonce.Attached}),
			named: []string{"Detachment Attached", "detached true"},
		},
		"the bound on attempts": {
			promised: "max_attempts: 3", given: engine(onlyonce.Policy{MaxAttempts: 9}), named: []string{"MaxAttempts 9", "max_attempts 3"},
		},
		"fewer attempts": {promised: "max_attempts: 3", given: engine(onlyonce.Policy{MaxAttempts: 1})},
		"the size of answers": {
			promised: "max_outcome: 64", given: engine(onlyonce.Policy{MaxOutcome: 10}), named: []string{"MaxOutcome 10", "max_outcome 64"},
		},
		"an ambiguous class": {
			promised: "classes { code: 10 class: OUTCOME_CLASS_AMBIGUOUS }", given: classes(onlyonce.ClassNotExecuted),
			named: []string{"not executed for ABORTED", "ambiguous in classes"},
		},
		"a definite class": {
			promised: "classes { code: 10 class: OUTCOME_CLASS_DEFINITE }", given: classes(onlyonce.ClassAmbiguous),
			named: []string{"ambiguous for ABORTED", "definite in classes"},
		},
		"the retention of errors": {
			promised: "error_retention { seconds: 3600 }", given: engine(onlyonce.Policy{ErrorRetention: 10 * time.Minute}),
			named: []string{"ErrorRetention 10m0s", "error_retention 1h0m0s"},
		},
		"a longer retention of errors": {
			promised: "error_retention { seconds: 60 }", given: engine(onlyonce.Policy{ErrorRetention: time.Hour}),
		},
		"the retention of a code": {
			promised: "classes { code: 5 class: OUTCOME_CLASS_DEFINITE retention { seconds: 3600 } }",
			given:    interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: 10 * time.Minute}},
			named:    []string{"Retentions with 10m0s for NOT_FOUND", "retention 1h0m0s in classes"},
		},
		"errors, where the retention holds for all": {
			promised: "retention { seconds: 7200 }", given: engine(onlyonce.Policy{ErrorRetention: time.Hour}),
			named: []string{"ErrorRetention 1h0m0s", "retention 2h0m0s, which also holds for errors"},
		},
		"errors, where others are kept longer": {
			promised: "retention { seconds: 7200 } error_retention { seconds: 3600 }", given: engine(onlyonce.Policy{ErrorRetention: time.Hour}),
		},
		"a code, where the retention holds for all": {
			promised: "retention { seconds: 7200 }",
			given:    interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: time.Hour}},
			named:    []string{"Retentions with 1h0m0s for NOT_FOUND", "retention 2h0m0s, which also holds for errors"},
		},
		"a code, where a retention holds for all errors": {
			promised: "error_retention { seconds: 7200 }",
			given:    interceptor.Policy{Retentions: map[codes.Code]time.Duration{codes.NotFound: time.Hour}},
			named:    []string{"Retentions with 1h0m0s for NOT_FOUND", "error_retention 2h0m0s"},
		},
		"a class that protects more": {
			promised: "classes { code: 10 class: OUTCOME_CLASS_NOT_EXECUTED }", given: classes(onlyonce.ClassAmbiguous),
		},
	}
}

func TestValidateReportsWhatAnOptionOfManyMethodsTakesAwayFromTheProto(t *testing.T) {
	for name, w := range weakenings() {
		t.Run(name, func(t *testing.T) {
			pkg := newPackage()
			bank, pay := pkg+".Bank", "/"+pkg+".Bank/Pay"
			said := declaration{pkg: pkg, request: str("a", 1, w.field)}

			if w.promised != "" {
				said.method = method(w.promised)
			}

			_, service := said.register(t)

			ofServer, ofService := interceptor.WithPolicy(w.given), interceptor.WithServicePolicy(bank, w.given)

			for _, test := range []struct {
				by   string
				opts []interceptor.ServerOption
			}{
				{by: "WithPolicy", opts: []interceptor.ServerOption{ofServer}},
				{by: "WithServicePolicy", opts: []interceptor.ServerOption{ofService}},
				{by: "WithServicePolicy", opts: []interceptor.ServerOption{ofServer, ofService}},
				{opts: []interceptor.ServerOption{ofServer, ofService, interceptor.WithMethodPolicy(pay, w.given)}},
			} {
				err := validate(servicesOf(service), engine(t), test.opts...)

				if w.named == nil || test.by == "" {
					if err != nil {
						t.Errorf("%s: Validate: %v", test.by, err)
					}

					continue
				}

				mustName(t, err, append(w.named, test.by+" sets", pay, "leave it out of "+test.by, "WithMethodPolicy")...)

				if n := len(strings.Split(err.Error(), "\n")); n != 1 {
					t.Errorf("%d problems, want one: %v", n, err)
				}
			}
		})
	}
}

// An option that names the service may override the options of its .proto.
func TestServicePolicyMayOverruleTheOptionOfItsService(t *testing.T) {
	pkg := newPackage()
	_, service := declaration{pkg: pkg, service: "[onlyonce.v1.service] { key: KEY_USE_REQUIRED }"}.register(t)
	optional := interceptor.Policy{Key: interceptor.KeyOptional}

	if err := validate(servicesOf(service), engine(t), interceptor.WithServicePolicy(pkg+".Bank", optional)); err != nil {
		t.Errorf("Validate: %v", err)
	}

	mustName(t, validate(servicesOf(service), engine(t), interceptor.WithPolicy(optional)), "WithPolicy sets KeyOptional")
}

// The retention in a method's option does not set that of errors if the option of its service does.
func TestServicePolicyMayOverruleTheErrorRetentionOfItsService(t *testing.T) {
	pkg := newPackage()
	_, service := declaration{
		pkg: pkg, service: "[onlyonce.v1.service] { error_retention { seconds: 3600 } }", method: method("retention { seconds: 7200 }"),
	}.register(t)

	shorter := interceptor.Policy{Policy: onlyonce.Policy{ErrorRetention: 30 * time.Minute}}
	if err := validate(servicesOf(service), engine(t), interceptor.WithServicePolicy(pkg+".Bank", shorter)); err != nil {
		t.Errorf("Validate: %v", err)
	}

	mustName(t, validate(servicesOf(service), engine(t), interceptor.WithPolicy(shorter)), "WithPolicy sets ErrorRetention 30m0s")
}
