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

// fingerprints measures the fingerprint of a request.
func (c *config) fingerprints(ctx context.Context) error {
	const flat = byFingerprint + ", ten flat fields"

	return c.play(ctx, &contest{
		id: "fingerprint", question: "What does the fingerprint of a request cost?",
		lost: func(of func(string) row) string {
			r := of(flat)

			return fmt.Sprintf("%s of CPU for ten flat fields, %s times a hash that holds within one build only.",
				nanoText(r.median(cpu)), ratio(r.times(byHash, cpu)))
		},
		about: "The hash is SHA-256 of the deterministic encoding, which may change with the next build. Aims: 1.8 times its CPU for " +
			"ten flat fields, 1.5 times for a map; 8 allocations more.",
		columns: []column{
			times("of the hash's CPU", byHash, cpu),
			more("allocations", byHash, moreTenths, allocs),
			more("memory", byHash, moreSize, bytes),
			figure("CPU", nanoText, cpu),
		},
		callers: 1, calls: 4_000, variants: fingerprintVariants(),
	})
}

const (
	byHash        = "hash of the encoding"
	byFingerprint = "fingerprint"
)

func fingerprintVariants() (variants []variant) {
	for _, request := range []struct {
		name string
		msg  proto.Message
	}{
		{"ten flat fields", flatRequest()},
		{"map of 100 entries", mapRequest()},
		{"nested request", nestedRequest()},
	} {
		variants = append(variants,
			variant{way: byHash, kind: request.name, start: always(func(int) error {
				data, err := proto.MarshalOptions{Deterministic: true}.Marshal(request.msg)
				_ = sha256.Sum256(data)

				return err
			})},
			variant{way: byFingerprint, kind: request.name, start: always(func(int) error {
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
