package interceptor_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
	"github.com/onlyonce-go/onlyonce/retry"
)

const century = 100 * 365 * day

func TestF68_EveryOptionOfAClientHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	for _, d := range []time.Duration{time.Millisecond, time.Hour, century} {
		synctest.Test(t, func(t *testing.T) {
			seen, a := play(t, []turn{{code: codes.Unavailable, status: "released", pushback: []string{"0"}}, paid()},
				[]interceptor.ClientOption{interceptor.WithRetention(d)})
			seen.mustBe(t, 2)
			a.mustAnswer(t, "paid")
		})
	}

	for _, d := range []time.Duration{0, 1, -1, time.Millisecond - 1, century + 1, math.MaxInt64, math.MinInt64} {
		_, err := interceptor.DialOptions(interceptor.WithRetention(d))
		mustName(t, err, "retention of WithRetention is "+d.String(), "from 1ms to 100 years")
	}

	for name, p := range badRetries() {
		_, err := interceptor.DialOptions(interceptor.WithRetry(p))
		mustName(t, err, name)

		synctest.Test(t, func(t *testing.T) {
			seen, a := play(t, []turn{paid()}, nil, interceptor.WithCallRetry(p))
			seen.mustBe(t, 0)
			mustName(t, a.err, name)
		})
	}
}

// badRetries are policies that package retry refuses; see its own tests for all of them.
func badRetries() map[string]retry.Policy {
	return map[string]retry.Policy{
		"MaxAttempts": {MaxAttempts: -1}, "BaseDelay": {BaseDelay: -1}, "MaxDelay": {MaxDelay: math.MaxInt64},
		"Multiplier": {Multiplier: math.NaN()}, "AttemptTimeout": {AttemptTimeout: math.MaxInt64}, "MaxElapsed": {MaxElapsed: -1},
	}
}

func TestF68_EveryFieldOfAServersPolicyHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	wrong := map[string][]interceptor.Policy{
		"Policy": {{Policy: onlyonce.Policy{MaxWait: math.MaxInt64}}}, // see the engine's own tests for all of its fields
		"Key":    {{Key: interceptor.KeyIgnored + 1}, {Key: math.MaxUint8}},
		"KeyRules": {
			{KeyRules: &onlyonce.KeyRules{MinLength: -1}}, {KeyRules: &onlyonce.KeyRules{MinLength: math.MaxInt}},
			{KeyRules: &onlyonce.KeyRules{MaxLength: 256}}, {KeyRules: &onlyonce.KeyRules{MaxLength: math.MaxInt}},
			{KeyRules: &onlyonce.KeyRules{MaxLength: math.MinInt}},
		},
		"Classes": {
			{Classes: map[codes.Code]onlyonce.Class{codes.Aborted: math.MaxUint8}}, {Classes: map[codes.Code]onlyonce.Class{codes.OK: 0}},
		},
		"Retentions": {
			{Retentions: map[codes.Code]time.Duration{codes.OK: time.Hour}}, {Retentions: map[codes.Code]time.Duration{codes.NotFound: 0}},
			{Retentions: map[codes.Code]time.Duration{codes.NotFound: -1}},
			{Retentions: map[codes.Code]time.Duration{codes.NotFound: onlyonce.DefaultMaxRun - 1}},
			{Retentions: map[codes.Code]time.Duration{codes.NotFound: day + 1}},
			{Retentions: map[codes.Code]time.Duration{codes.NotFound: math.MaxInt64}},
			{Retentions: map[codes.Code]time.Duration{codes.NotFound: math.MinInt64}},
		},
		"Recover": nil, // needs a store that cannot settle
	}

	for field := range reflect.TypeFor[interceptor.Policy]().Fields() {
		policies, ok := wrong[field.Name]
		if !ok {
			t.Errorf("%s has no range in this test", field.Name)
		}

		for _, p := range policies {
			if _, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithPolicy(p)); err == nil {
				t.Errorf("%+v is accepted", p)
			}
		}
	}
}

func TestF68_RetentionOfMethodsDownstreamHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	for d, ok := range map[time.Duration]bool{
		0: true, 1: true, century: true, -1: false, math.MinInt64: false, century + 1: false, math.MaxInt64: false,
	} {
		_, err := interceptor.NewServer(engine(t), interceptor.ScopeShared(), interceptor.WithDownstream(d, unaryCall))
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "at most 100 years") {
			t.Errorf("WithDownstream(%v): %v", d, err)
		}
	}
}

func TestF68_EverySettingOfAnAnnotationHoldsOverItsRangeOrIsAProblem(t *testing.T) {
	t.Parallel()

	fields := (&onlyoncev1.Policy{}).ProtoReflect().Descriptor().Fields()

	for i := range fields.Len() {
		field := fields.Get(i)

		for _, value := range outOfRange(t, field) {
			setting := string(field.Name()) + value
			_, service := declaration{method: method(setting)}.register(t)

			err := validate(servicesOf(service), engine(t))
			if err == nil || !strings.Contains(err.Error(), string(service.FullName())) || !strings.Contains(err.Error(), "give ") {
				t.Errorf("%s: %v; want what to give", setting, err)
			}
		}
	}
}

// outOfRange are values that a setting does not have, in text form.
func outOfRange(t *testing.T, field protoreflect.FieldDescriptor) []string {
	t.Helper()

	seconds := func(n int64) string { return fmt.Sprintf(" { seconds: %d }", n) }

	switch {
	case field.Name() == "classes":
		return []string{
			" { code: 17 class: OUTCOME_CLASS_DEFINITE }", " { code: -1 class: OUTCOME_CLASS_DEFINITE }", " { code: 10 class: 99 }",
			" { code: 5 class: OUTCOME_CLASS_DEFINITE retention { nanos: 1 } }",
			" { code: 5 class: OUTCOME_CLASS_DEFINITE retention { seconds: -1 } }",
			" { code: 5 class: OUTCOME_CLASS_DEFINITE retention { seconds: 86401 } }",
		}
	case field.Kind() == protoreflect.BoolKind:
		return nil
	case field.Kind() == protoreflect.EnumKind:
		return []string{": 99", ": -1", fmt.Sprint(": ", math.MaxInt32)}
	case field.Kind() == protoreflect.Uint32Kind:
		return []string{": 0", fmt.Sprint(": ", uint32(math.MaxUint32))}
	case field.Kind() == protoreflect.MessageKind && field.Message().FullName() == "google.protobuf.Duration":
		const tenThousandYears = 315_576_000_000 // the longest that protobuf allows

		return []string{
			" { nanos: 1 }", " { nanos: -1 }", seconds(-1), seconds(tenThousandYears), seconds(tenThousandYears + 1), seconds(-tenThousandYears),
			seconds(math.MaxInt64), seconds(math.MinInt64),
		}
	default:
		t.Errorf("%s has no range in this test", field.Name())

		return nil
	}
}
