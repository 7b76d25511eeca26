package retry_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlyonce-go/onlyonce/retry"
)

const century = 100 * 365 * 24 * time.Hour

// span is the range of a field.
type span struct {
	good []retry.Policy
	bad  []retry.Policy
}

func spans() map[string]span {
	return map[string]span{
		"MaxAttempts": {
			good: []retry.Policy{{MaxAttempts: 1}, {MaxAttempts: 3}, {MaxAttempts: math.MaxInt}},
			bad:  []retry.Policy{{MaxAttempts: -1}, {MaxAttempts: math.MinInt}},
		},
		"BaseDelay": {
			good: []retry.Policy{{BaseDelay: 1}, {BaseDelay: century, MaxDelay: century}},
			bad: []retry.Policy{
				{BaseDelay: -1}, {BaseDelay: math.MinInt64}, {BaseDelay: century + 1, MaxDelay: century}, {BaseDelay: math.MaxInt64},
			},
		},
		"MaxDelay": {
			good: []retry.Policy{{MaxDelay: 1}, {MaxDelay: century}},
			bad:  []retry.Policy{{MaxDelay: -1}, {MaxDelay: math.MinInt64}, {MaxDelay: century + 1}, {MaxDelay: math.MaxInt64}},
		},
		"Multiplier": {
			good: []retry.Policy{{Multiplier: 1}, {Multiplier: math.MaxFloat64}},
			bad: []retry.Policy{
				{Multiplier: math.Nextafter(1, 0)}, {Multiplier: -1}, {Multiplier: math.NaN()}, {Multiplier: math.Inf(1)}, {Multiplier: math.Inf(-1)},
			},
		},
		"AttemptTimeout": {
			good: []retry.Policy{{AttemptTimeout: 1}, {AttemptTimeout: century}},
			bad: []retry.Policy{
				{AttemptTimeout: -1}, {AttemptTimeout: math.MinInt64}, {AttemptTimeout: century + 1}, {AttemptTimeout: math.MaxInt64},
			},
		},
		"MaxElapsed": {
			good: []retry.Policy{{MaxElapsed: time.Hour}, {MaxElapsed: century}},
			bad: []retry.Policy{
				{MaxElapsed: -1}, {MaxElapsed: math.MinInt64}, {MaxElapsed: century + 1}, {MaxElapsed: math.MaxInt64},
			},
		},
		"Budget": {}, // see NewBudget
	}
}

func TestF68EveryFieldOfAPolicyHoldsOverItsRangeOrIsRefused(t *testing.T) {
	t.Parallel()

	known := spans()

	for field := range reflect.TypeFor[retry.Policy]().Fields() {
		name := field.Name

		of, ok := known[name]
		if !ok {
			t.Errorf("%s has no range in this test", name)
		}

		for _, p := range of.bad {
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %+v: %v", name, p, err)
			}
		}

		for _, p := range of.good {
			succeedsAtTheThirdAttempt(t, p)
		}
	}
}

func succeedsAtTheThirdAttempt(t *testing.T, p retry.Policy) {
	t.Helper()

	want := 3
	if p.MaxAttempts == 1 {
		want = 1
	}

	synctest.Test(t, func(t *testing.T) {
		s := play(failing(errFirst), failing(errSecond), succeed)

		_, err := retry.Do(context.Background(), p, retry.Options{}, s.op)
		if (err == nil) != (want == 3) || len(s.starts) != want {
			t.Errorf("%+v: %d attempts, want %d: %v", p, len(s.starts), want, err)
		}

		if took := time.Since(s.began); took < 0 || p.MaxElapsed > 0 && took > p.MaxElapsed {
			t.Errorf("%+v: the attempts took %v", p, took)
		}
	})
}

func TestF68AttemptsEndInTimeWhateverTheDelays(t *testing.T) {
	t.Parallel()

	// Delays are random. A test that depends on them fails less than once in a million runs.
	for name, p := range map[string]retry.Policy{
		"an attempt of a nanosecond":          {AttemptTimeout: 1, MaxAttempts: 2, BaseDelay: 1},
		"attempts within a nanosecond":        {MaxElapsed: 1, BaseDelay: century, MaxDelay: century},
		"a delay beyond the caller's time":    {BaseDelay: century, MaxDelay: century},
		"an attempt of the caller's own time": {AttemptTimeout: century, MaxAttempts: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()

			began := time.Now()

			if _, err := retry.Do(ctx, p, retry.Options{}, play(hang).op); err == nil || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		})
	}
}

func TestF68ServiceConfigWritesEveryDurationExactly(t *testing.T) {
	t.Parallel()

	for d, want := range map[time.Duration]string{
		1: `"0.000000001s"`, time.Second - 1: `"0.999999999s"`, time.Minute: `"60s"`, century - 1: `"3153599999.999999999s"`,
		century: `"3153600000s"`,
	} {
		config, err := retry.ServiceConfig(retry.Policy{BaseDelay: d, MaxDelay: d})
		if err != nil || strings.Count(config, want) != 2 {
			t.Errorf("%d: %v, %v", d, config, err)
		}
	}
}
