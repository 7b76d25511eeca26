package retry_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlyonce-go/onlyonce/retry"
)

func TestZeroPolicyHasTheDocumentedDefaults(t *testing.T) {
	t.Parallel()

	want := retry.Policy{
		MaxAttempts: 5,
		BaseDelay:   50 * time.Millisecond,
		MaxDelay:    5 * time.Second,
		Multiplier:  2,
	}

	if diff := cmp.Diff(want, retry.Policy{}.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults (-want +got):\n%s", diff)
	}
}

func TestWithDefaultsKeepsWhatIsSet(t *testing.T) {
	t.Parallel()

	want := retry.Policy{
		MaxAttempts:    1,
		BaseDelay:      2,
		MaxDelay:       3,
		Multiplier:     4,
		AttemptTimeout: 5,
		MaxElapsed:     6,
		Budget:         nil,
	}

	if diff := cmp.Diff(want, want.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults (-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		policy retry.Policy
		want   []string // substrings, one for each line; none: valid
	}{
		"zero":                      {retry.Policy{}, nil},
		"never again":               {retry.Policy{MaxAttempts: 1}, nil},
		"growth of one":             {retry.Policy{Multiplier: 1}, nil},
		"small MaxDelay alone":      {retry.Policy{MaxDelay: time.Millisecond}, nil},
		"BaseDelay equals MaxDelay": {retry.Policy{BaseDelay: 1, MaxDelay: 1}, nil},
		"negative MaxAttempts":      {retry.Policy{MaxAttempts: -1}, []string{"MaxAttempts is -1: set at least 1"}},
		"negative BaseDelay":        {retry.Policy{BaseDelay: -1}, []string{"BaseDelay is -1ns: set"}},
		"negative MaxDelay":         {retry.Policy{MaxDelay: -1}, []string{"MaxDelay is -1ns: set"}},
		"BaseDelay above default":   {retry.Policy{BaseDelay: 6 * time.Second}, []string{"above MaxDelay 5s: raise"}},
		"Multiplier below one":      {retry.Policy{Multiplier: 0.99}, []string{"Multiplier is 0.99: set"}},
		"negative Multiplier":       {retry.Policy{Multiplier: -2}, []string{"Multiplier is -2"}},
		"Multiplier not a number":   {retry.Policy{Multiplier: math.NaN()}, []string{"Multiplier is NaN"}},
		"infinite Multiplier":       {retry.Policy{Multiplier: math.Inf(1)}, []string{"Multiplier is +Inf"}},
		"negative AttemptTimeout":   {retry.Policy{AttemptTimeout: -1}, []string{"AttemptTimeout is -1ns: set"}},
		"negative MaxElapsed":       {retry.Policy{MaxElapsed: -1}, []string{"MaxElapsed is -1ns: set"}},
		"every problem": {
			retry.Policy{MaxAttempts: -1, BaseDelay: -1, MaxDelay: -1, Multiplier: -1, AttemptTimeout: -1, MaxElapsed: -1},
			[]string{"MaxAttempts", "BaseDelay", "MaxDelay", "AttemptTimeout", "MaxElapsed", "Multiplier"},
		},
	}

	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			err := test.policy.Validate()
			if err == nil {
				if test.want != nil {
					t.Fatalf("valid, want %q", test.want)
				}

				return
			}

			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(lines), len(test.want), err)
			}

			for i, want := range test.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("problem %d is %q, want it to contain %q", i, lines[i], want)
				}
			}
		})
	}
}
