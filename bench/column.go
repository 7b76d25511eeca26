package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// column is a figure of every variant of a contest.
type column struct {
	head string
	cell func(r row) string
}

// value is one figure of a sample.
type value func(s sample) float64

func bytes(s sample) float64     { return s.bytes }
func allocs(s sample) float64    { return s.allocs }
func nanos(s sample) float64     { return s.nanos }
func latency(s sample) float64   { return s.latency }
func cpu(s sample) float64       { return s.cpu }
func redisCPU(s sample) float64  { return s.redisCPU }
func perSecond(s sample) float64 { return float64(time.Second) / s.nanos }

// figure is a column with the value.
func figure(head string, format func(float64) string, v value) column {
	return column{head, func(r row) string { return format(r.median(v)) }}
}

// more is a column with the difference to the value of another way.
func more(head, way string, format func(float64) string, v value) column {
	return column{head, func(r row) string { return format(r.more(way, v)) }}
}

// times is a column with a ratio: the value over that of another way.
func times(head, way string, v value) column {
	return column{head, func(r row) string { return ratio(r.times(way, v)) }}
}

// timesAdded is a column with a ratio: what this way adds to the value of gRPC alone, over what another way adds to it. It is empty if the
// other way adds too little to compare with.
func timesAdded(head, way string, v value) column {
	return column{head, func(r row) string { return ratio(r.timesAdded(way, v)) }}
}

// row is a variant with the samples of all variants, by name.
type row struct {
	*variant

	samples map[string][]sample
}

// of returns the samples of another way: those of the same kind of calls, or of all kinds if that way has none.
func (r row) of(way string) []sample {
	same := variant{way: way, kind: r.kind}
	if samples, ok := r.samples[same.name()]; ok {
		return samples
	}

	return r.samples[way]
}

// median is the median of the rounds. It is NaN without measurements.
func (r row) median(v value) float64 {
	return medianOf(r.samples[r.name()], r.samples[r.name()], func(own, _ sample) float64 { return v(own) })
}

// more is the median of the differences within the rounds.
func (r row) more(way string, v value) float64 {
	return medianOf(r.samples[r.name()], r.of(way), func(own, other sample) float64 { return v(own) - v(other) })
}

// adds is more, for a sentence. It is 0 where the measured difference is negative, which is noise.
func (r row) adds(way string, v value) float64 { return max(r.more(way, v), 0) }

// times is the median of the ratios within the rounds.
func (r row) times(way string, v value) float64 {
	return medianOf(r.samples[r.name()], r.of(way), func(own, other sample) float64 { return v(own) / v(other) })
}

// leastAddition is the smallest addition to compare with, as a part of the value of gRPC alone. A smaller one is near the noise. The
// introduction of the page names this part.
const leastAddition = 0.1

// timesAdded is a ratio of medians: within one round the differences may be near 0. It is NaN if the base adds less than leastAddition.
func (r row) timesAdded(way string, v value) float64 {
	other := row{&variant{way: way, kind: r.kind}, r.samples}
	alone := medianOf(r.of(bare), r.of(bare), func(own, _ sample) float64 { return v(own) })

	added := other.more(bare, v)
	if added < leastAddition*alone {
		return math.NaN()
	}

	return r.more(bare, v) / added
}

// medianOf compares two variants round by round.
func medianOf(own, other []sample, compare func(own, other sample) float64) float64 {
	if len(own) != len(other) {
		return math.NaN() // the other one is not measured
	}

	compared := make([]float64, len(own))
	for i := range own {
		compared[i] = compare(own[i], other[i])
	}

	return middle(compared)
}

// middle returns the median. It sorts the values.
func middle(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}

	slices.Sort(values)

	return (values[(n-1)/2] + values[n/2]) / 2
}

// formatted prints a number, and "-" for NaN and infinity. A number that is rounded to zero has no minus sign.
func formatted(format string, x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}

	text := fmt.Sprintf(format, x)
	if !strings.ContainsAny(text, "123456789") {
		return fmt.Sprintf(format, 0.0)
	}

	return text
}

// ratio prints a ratio, and "-" for a negative ratio, which is noise.
func ratio(x float64) string {
	if math.Signbit(x) {
		x = math.NaN()
	}

	return formatted("%.2f", x)
}

func count(x float64) string       { return formatted("%.0f", x) }
func moreTenths(x float64) string  { return formatted("%+.1f", x) }
func percent(x float64) string     { return formatted("%.1f %%", 100*x) }
func size(x float64) string        { return formatted("%.0f B", x) }
func moreSize(x float64) string    { return formatted("%+.0f B", x) }
func nanoText(x float64) string    { return formatted("%.0f ns", x) }
func moreNanos(x float64) string   { return formatted("%+.0f ns", x) }
func micros(x float64) string      { return formatted("%.1f µs", x/1e3) }
func moreMicros(x float64) string  { return formatted("%+.1f µs", x/1e3) }
func wholeMicros(x float64) string { return formatted("%.0f µs", x/1e3) }
func millis(x float64) string      { return formatted("%.1f ms", x/1e6) }
func twoMillis(x float64) string   { return formatted("%.2f ms", x/1e6) }
