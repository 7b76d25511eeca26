//go:build !race

// The race detector makes allocations of its own.

package fingerprint_test

import (
	"crypto/sha256"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

func TestAllocationsAreThoseOfMarshallingAndEight(t *testing.T) {
	largeMap := &vectors.Everything{StringMap: map[string]string{}, LeafMap: map[string]*vectors.Leaf{}}
	for i := range 100 {
		largeMap.StringMap[strconv.Itoa(i)] = "value"
		largeMap.LeafMap[strconv.Itoa(i)] = &vectors.Leaf{Name: "n", Note: "ignored"}
	}

	deep := new(vectors.Branch)
	for range 50 {
		deep = &vectors.Branch{Next: deep, Number: 1, Stamp: []byte("ignored")}
	}

	lists := &vectors.Legacy{Unpacked: make([]int32, 100), Packed: make([]int32, 100)}
	for range 100 {
		lists.Item = append(lists.Item, &vectors.Legacy_Item{Amount: proto.Uint64(1)})
	}

	disordered := &vectors.Everything{Int32Value: 1, Choice: &vectors.Everything_ChoiceText{ChoiceText: "x"}, Far: 1}
	disordered.ProtoReflect().SetUnknown(fields(varint(38, 1), varint(2000, 1)))

	for name, msg := range map[string]proto.Message{
		"empty": new(vectors.Everything), "map": largeMap, "deep": deep, "lists": lists, "out of order": disordered, "typical": request(),
	} {
		t.Run(name, func(t *testing.T) {
			baseline := testing.AllocsPerRun(200, func() {
				data, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
				if err != nil && name != "lists" {
					t.Fatal(err)
				}

				sha256.Sum256(data)
			})
			got := testing.AllocsPerRun(200, func() {
				if _, err := fingerprint.Of(msg); err != nil {
					t.Fatal(err)
				}
			})

			if got > baseline+8 {
				t.Errorf("%.0f allocations, and marshalling makes %.0f", got, baseline)
			}

			t.Logf("%.0f allocations, and marshalling makes %.0f", got, baseline)
		})
	}
}
