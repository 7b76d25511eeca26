package main

import (
	"math"
	"slices"
	"testing"
)

func TestColumnsCompareWithTheSameKindOfCalls(t *testing.T) {
	t.Parallel()

	samples := map[string][]sample{
		bare:                       {{latency: 50_000}, {latency: 60_000}, {latency: 55_000}},
		byLeast + ", " + replay:    {{latency: 54_000}, {latency: 64_000}, {latency: 59_000}},
		byLeast + ", " + firstCall: {{latency: 56_000}, {latency: 68_000}, {latency: 63_000}},
		onlyonceFirst:              {{latency: 70_000}, {latency: 76_000}, {latency: 71_000}},
	}
	first := row{&variant{way: byOnlyonce, kind: firstCall}, samples}

	columns := []column{
		figure("", micros, latency),
		more("", bare, moreMicros, latency),
		timesAdded("", byLeast, latency),
		times("", byLeast, latency),
		times("", byTextbook, latency), // not measured
	}

	got := make([]string, len(columns))
	for i, c := range columns {
		got[i] = c.cell(first)
	}

	if want := []string{"71.0 µs", "+16.0 µs", "2.00", "1.13", "-"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheMedianOfNothingIsNoNumber(t *testing.T) {
	t.Parallel()

	if got := middle(nil); !math.IsNaN(got) {
		t.Errorf("%v", got)
	}
}

func TestARatioToAnAdditionOfLessThanATenthIsLeftOut(t *testing.T) {
	t.Parallel()

	for least, want := range map[float64]string{1_000: "-", 1_009: "-", 1_200: "3.00", 990: "-"} {
		samples := map[string][]sample{bare + ", " + noKey: {{cpu: 1_000}}, byLeast + ", " + noKey: {{cpu: least}}}
		samples[byOnlyonce+", "+noKey] = []sample{{cpu: 1_600}}

		if got := timesAdded("", byLeast, cpu).cell(row{&variant{way: byOnlyonce, kind: noKey}, samples}); got != want {
			t.Errorf("beside %v ns it is %q, want %q", least, got, want)
		}
	}
}

func TestANegativeAdditionIsZeroInASentence(t *testing.T) {
	t.Parallel()

	r := row{&variant{way: withMetrics}, map[string][]sample{noTelemetry: {{cpu: 9_119}}, withMetrics: {{cpu: 9_087}}}}

	if cell, text := moreNanos(r.more(noTelemetry, cpu)), nanoText(r.adds(noTelemetry, cpu)); cell != "-32 ns" || text != "0 ns" {
		t.Errorf("%q in the table and %q in the sentence", cell, text)
	}

	if got := r.adds("not measured", cpu); !math.IsNaN(got) {
		t.Errorf("%v without a measurement", got)
	}
}

func TestZeroHasNoMinusSign(t *testing.T) {
	t.Parallel()

	for got, want := range map[string]string{
		moreNanos(-0.4): "+0 ns", moreTenths(-0.04): "+0.0", moreTenths(-0.06): "-0.1", count(-0.4): "0", moreSize(-10): "-10 B",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestANegativeRatioIsLeftOut(t *testing.T) {
	t.Parallel()

	for x, want := range map[float64]string{1.254: "1.25", 0: "0.00", -18.35: "-", math.Inf(1): "-"} {
		if got := ratio(x); got != want {
			t.Errorf("%v is printed as %q, want %q", x, got, want)
		}
	}
}
