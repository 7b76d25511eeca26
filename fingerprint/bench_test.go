package fingerprint_test

import (
	"bytes"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

func BenchmarkOf(b *testing.B) {
	table := &vectors.Everything{StringMap: make(map[string]string), LeafMap: make(map[string]*vectors.Leaf)}
	for i := range 100 {
		table.StringMap[strconv.Itoa(i)] = "value"
		table.LeafMap[strconv.Itoa(i)] = &vectors.Leaf{Name: "name", Note: "ignored"}
	}

	deep := new(vectors.Branch)
	for range 50 {
		deep = &vectors.Branch{Next: deep, Number: 1, Stamp: []byte("ignored")}
	}

	newer := &vectors.Everything{Int32Value: 1, StringValue: "text", Far: 1}
	newer.ProtoReflect().SetUnknown(varint(38, 1))

	alternating := new(vectors.Narrow)
	alternating.ProtoReflect().SetUnknown(bytes.Repeat(fields(varint(9, 1), varint(8, 1)), 1<<16))

	for _, of := range []struct {
		name string
		msg  proto.Message
	}{
		{"typical", request()},
		{"flat", &vectors.Everything{Int32Value: 1, StringValue: "text", BoolValue: true, DoubleValue: 1, BytesValue: make([]byte, 256)}},
		{"list", &vectors.Everything{Leaves: repeated(100, func() *vectors.Leaf { return &vectors.Leaf{Name: "name", Count: 1} })}},
		{"table", table},
		{"deep", deep},
		{"newer", newer},
		{"large", &vectors.Everything{BytesValue: make([]byte, 1<<20)}},
		{"hostile", alternating},
	} {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				if _, err := fingerprint.Of(of.msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func repeated[T any](count int, element func() T) []T {
	all := make([]T, count)
	for i := range all {
		all[i] = element()
	}

	return all
}
