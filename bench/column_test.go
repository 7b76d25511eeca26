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
		byLeast + ", " + replay:    {{latency: 52_000}, {latency: 62_000}, {latency: 57_000}},
		byLeast + ", " + firstCall: {{latency: 53_000}, {latency: 64_000}, {latency: 59_000}},
		onlyonceFirst:              {{latency: 60_000}, {latency: 68_000}, {latency: 63_000}},
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

	if want := []string{"63.0 µs", "+8.0 µs", "2.00", "1.07", "-"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheMedianOfNothingIsNoNumber(t *testing.T) {
	t.Parallel()

	if got := middle(nil); !math.IsNaN(got) {
		t.Errorf("%v", got)
	}
}

func TestARatioToNoiseIsLeftOut(t *testing.T) {
	t.Parallel()

	for x, want := range map[float64]string{1.254: "1.25", 0: "0.00", -18.35: "-", math.Inf(1): "-"} {
		if got := ratio(x); got != want {
			t.Errorf("%v is printed as %q, want %q", x, got, want)
		}
	}
}
