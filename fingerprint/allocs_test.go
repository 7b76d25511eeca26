//go:build !race

// The race detector allocates, too.

package fingerprint_test

import (
	"crypto/sha256"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

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

// F85: package proto computes the size of a message that does not keep it once for each level above.
func TestF85TheWorkForOldMessagesDoesNotGrowWithTheirDepth(t *testing.T) {
	work := func(levels int) float64 {
		node := chain(levels, "", func(next *oldNode, _ string) *oldNode {
			if next == nil {
				return &oldNode{Items: repeated(2000, func() *oldNode { return new(oldNode) })}
			}

			return &oldNode{Next: next}
		})
		msg := protoadapt.MessageV2Of(&oldRequest{Node: node})

		return testing.AllocsPerRun(3, func() {
			if _, err := fingerprint.Of(msg); err != nil {
				t.Fatal(err)
			}
		})
	}

	if flat, deep := work(2), work(fingerprint.MaxDepth-2); deep > 2*flat {
		t.Errorf("%.0f allocations for a flat message, %.0f for a deep one of the same size", flat, deep)
	}
}
