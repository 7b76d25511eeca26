package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// fingerprints measures what it costs to fingerprint a request, against hashing an encoding that is stable within one build alone.
func (c *config) fingerprints(ctx context.Context) error {
	return c.play(ctx, &contest{
		title: "Fingerprint",
		aim: "Aims: 1.8 times marshalling deterministically and hashing for ten flat fields, 1.5 times for a map; " +
			"8 allocations more.",
		callers: 1, calls: 20_000, columns: timesBaseline, variants: fingerprintVariants(),
		heads: []string{"time", "of marshal and SHA-256", "memory", "allocations", "over marshal and SHA-256"},
	})
}

// timesBaseline is what a call costs, and how many times the baseline that is.
func timesBaseline(own, base, _, _ []sample) []string {
	nanos := func(s sample) float64 { return s.nanos }
	allocs := func(s sample) float64 { return s.allocs }

	return []string{
		fmt.Sprintf("%.0f ns", median(own, nanos)),
		fmt.Sprintf("%.2f", medianOf(own, base, nanos, dividedBy)),
		fmt.Sprintf("%.0f B", median(own, func(s sample) float64 { return s.bytes })),
		fmt.Sprintf("%.1f", median(own, allocs)),
		fmt.Sprintf("%+.1f", medianOf(own, base, allocs, minus)),
	}
}

func fingerprintVariants() (variants []variant) {
	for _, request := range []struct {
		name string
		msg  proto.Message
	}{
		{"ten flat fields", flatRequest()},
		{"map of 100 entries", mapRequest()},
		{"nested request", nestedRequest()},
	} {
		baseline := request.name + ": marshal and SHA-256"
		variants = append(variants,
			variant{name: baseline, against: baseline, start: always(func(int) error {
				data, err := proto.MarshalOptions{Deterministic: true}.Marshal(request.msg)
				_ = sha256.Sum256(data)

				return err
			})},
			variant{name: request.name + ": fingerprint", against: baseline, start: always(func(int) error {
				_, err := fingerprint.Of(request.msg)

				return err
			})})
	}

	return variants
}

func flatRequest() proto.Message {
	return &vectors.Everything{
		DoubleValue: 10.5, Int32Value: 978, Int64Value: 1_000_000, Uint64Value: 1 << 40, Fixed64Value: 42, BoolValue: true,
		StringValue: "a payment of some kind", BytesValue: make([]byte, 16), EnumValue: vectors.Colour_COLOUR_GREEN,
		OptionalString: new("optional"),
	}
}

func mapRequest() proto.Message {
	values := make(map[string]string)
	for i := range 100 {
		values["field "+strconv.Itoa(i)] = "value " + strconv.Itoa(i)
	}

	return &vectors.Everything{StringMap: values}
}

// nestedRequest is a request with an ignored field, messages three deep, lists, and a small map.
func nestedRequest() proto.Message {
	return &vectors.Everything{
		RequestId: newKey(1), TraceId: "4bf92f3577b34da6a3ce929d0e0e4736", StringValue: "EUR", Int64Value: 1050,
		Leaf: &vectors.Leaf{Name: "Ann", Count: 3, Details: &vectors.Details{Id: "account-1", Number: 7}},
		Leaves: []*vectors.Leaf{
			{Name: "first", Count: 1, Details: &vectors.Details{Number: 1}}, {Name: "second", Note: "not part of it", Numbers: []int32{1, 2, 3}},
		},
		StringMap: map[string]string{"channel": "web", "shop": "north", "campaign": "none"},
		Time:      &timestamppb.Timestamp{Seconds: 1_700_000_000}, Int32S: []int32{1, 2, 3, 400},
	}
}
