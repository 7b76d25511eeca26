package interceptor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/internal/uuid"
	"github.com/onlyonce-go/onlyonce/retry"
)

const (
	day      = 24 * time.Hour
	week     = 7 * day
	kept7d   = "key_form: KEY_FORM_TIME_ORDERED retention { seconds: 604800 } "
	life2h   = "key_life { seconds: 7200 } "
	life7d   = "key_life { seconds: 604800 } "
	margin   = 10 * time.Minute
	justLate = time.Nanosecond
)

// attempts counts the attempts of a client whose rejections ask for a delay.
func attempts(t *testing.T, method, key string, delay time.Duration, opts ...interceptor.ClientOption) int {
	t.Helper()

	opts = append(opts, interceptor.WithRetry(retry.Policy{MaxAttempts: 2}))

	call, err := interceptor.UnaryClientInterceptor(opts...)
	if err != nil {
		t.Fatal(err)
	}

	made := 0
	err = call(t.Context(), method, nil, nil, nil, invoker(&made, heard{
		code: codes.Unavailable, reason: string(onlyonce.ReasonInProgress), domain: interceptor.Domain, wait: durationpb.New(delay),
		trailer: metadata.Pairs(interceptor.StatusTrailer, "rejected"),
	}), interceptor.WithKey(key))

	if status.Code(err) != codes.Unavailable {
		t.Errorf("the answer is %v", err)
	}

	return made
}

func TestF63_ClientStopsRetryingBeforeTheKeyLifeEnds(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		settings string
		age      time.Duration // of the key, when its call begins
		latest   time.Duration // after the first attempt
	}{
		"the key life of the .proto":      {kept7d + life2h, 0, 2*time.Hour - margin},
		"as long as the retention":        {kept7d + life7d, 0, week - margin},
		"24 hours by default":             {kept7d, 0, day - margin},
		"the retention where it is less":  {"key_form: KEY_FORM_TIME_ORDERED retention { seconds: 3600 }", 0, 50 * time.Minute},
		"half of a short one":             {kept7d + "key_life { seconds: 600 }", 0, 5 * time.Minute},
		"counted from when it was made":   {kept7d + life2h, time.Hour, time.Hour - margin},
		"a key from the future":           {kept7d + life2h, -margin, 2*time.Hour - margin},
		"an old key is only looked up":    {kept7d + life2h, 3 * time.Hour, 2*time.Hour - margin},
		"keys without a time have none":   {"retention { seconds: 604800 } " + life2h, 0, week - margin},
		"an hour of 24, given by nobody":  {"key_form: KEY_FORM_TIME_ORDERED", time.Hour, 23*time.Hour - margin},
		"the shortest, which is not zero": {kept7d + "key_life { nanos: 1 }", 0, 1},
	} {
		_, service := declaration{method: method(tt.settings)}.register(t)
		pay := "/" + string(service.FullName()) + "/Pay"

		synctest.Test(t, func(t *testing.T) {
			for delay, want := range map[time.Duration]int{tt.latest: 2, tt.latest + justLate: 1} {
				key := uuid.New7(time.Now().Add(-tt.age)).String()
				if got := attempts(t, pay, key, delay, interceptor.WithRetention(week)); got != want {
					t.Errorf("%s: %d attempts with a delay of %v, want %d", name, got, delay, want)
				}
			}
		})
	}
}

func TestF63_KeyRulesOfTheClientBoundItsRetriesToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := []interceptor.ClientOption{
			interceptor.WithMethods(unaryCall), interceptor.WithRetention(week), interceptor.WithKeyRules(onlyonce.KeyRules{TimeOrdered: true}),
		}

		for delay, want := range map[time.Duration]int{day - margin: 2, day - margin + justLate: 1} {
			if got := attempts(t, unaryCall, uuid.New7(time.Now()).String(), delay, opts...); got != want {
				t.Errorf("%d attempts with a delay of %v, want %d", got, delay, want)
			}
		}
	})
}

func TestF63_KeyLifeOfTheProtoDecidesHowOldAKeyMayBe(t *testing.T) {
	for settings, runs := range map[string]bool{kept7d: false, kept7d + life7d: true, kept7d + life2h: false} {
		synctest.Test(t, func(t *testing.T) {
			b := startDeclared(t, declaration{method: method(settings)})
			_, a := b.call(withKey(t.Context(), uuid.New7(time.Now().Add(-30*time.Hour)).String()), b.conn)

			if runs {
				a.mustHaveStatus(t, onlyonce.StatusExecuted)
			} else {
				a.mustBe(t, keyExpired)
			}
		})
	}
}

func TestF63_ValidateComparesKeyLives(t *testing.T) {
	life := func(retention, life time.Duration) onlyonce.Policy {
		return onlyonce.Policy{Retention: retention, KeyLife: life}
	}

	for name, tt := range map[string]struct {
		settings string
		given    onlyonce.Policy
		want     []string
	}{
		"nothing else given": {kept7d + life7d, onlyonce.Policy{}, nil},
		"a shorter key life": {
			kept7d + life7d, life(0, day), []string{"accepts keys for 24h0m0s", "promises clients 168h0m0s", "raise KeyLife"},
		},
		"a longer key life":                {kept7d + life2h, life(0, day), nil},
		"less than clients take for given": {kept7d, life(0, time.Hour), []string{"accepts keys for 1h0m0s", "promises clients 24h0m0s"}},
		"no promise":                       {"key_form: KEY_FORM_TIME_ORDERED", life(0, time.Hour), nil},
		"keys without a time":              {"retention { seconds: 604800 } " + life7d, life(0, time.Hour), nil},
		"a shorter retention, said once":   {kept7d, life(time.Hour, 0), []string{"keeps outcomes for 1h0m0s"}},
		"longer than the retention": {
			"key_life { seconds: 90000 }", onlyonce.Policy{}, []string{"KeyLife is 25h0m0s", "Retention, which is 24h0m0s"},
		},
		"a retention shorter than it": {kept7d + life7d, life(day, 0), []string{"KeyLife is 168h0m0s", "Retention, which is 24h0m0s"}},
		"no duration":                 {"key_life { seconds: -1 }", onlyonce.Policy{}, []string{"key_life is -1s: give a positive duration"}},
	} {
		_, service := declaration{method: method(tt.settings)}.register(t)
		pay := "/" + string(service.FullName()) + "/Pay"

		err := validate(servicesOf(service), engine(t), interceptor.WithMethodPolicy(pay, interceptor.Policy{Policy: tt.given}))
		if tt.want == nil && err != nil || tt.want != nil && err == nil {
			t.Errorf("%s: %v", name, err)
		}

		if tt.want != nil && err != nil {
			mustName(t, err, append(tt.want, pay)...)
		}
	}
}
