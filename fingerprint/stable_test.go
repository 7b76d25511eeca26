package fingerprint_test

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// details is a message with a map.
func details() *structpb.Struct {
	number := structpb.NewNumberValue(1)

	return &structpb.Struct{Fields: map[string]*structpb.Value{"a": number, "b": number, "c": number}}
}

func packed(options proto.MarshalOptions) *anypb.Any {
	packed := new(anypb.Any)
	if err := anypb.MarshalFrom(packed, details(), options); err != nil {
		panic(err)
	}

	return packed
}

// F85: an Any of a message with a map has other bytes each time that it is packed.
func TestF85StableNamesAnAnyThatIsNotPackedDeterministically(t *testing.T) {
	for path, build := range map[string]func(*anypb.Any) proto.Message{
		"any":                       func(a *anypb.Any) proto.Message { return &vectors.Everything{Any: a} },
		"anys[1]":                   func(a *anypb.Any) proto.Message { return &vectors.Everything{Anys: []*anypb.Any{{}, a}} },
		"self.selves[0].any":        func(a *anypb.Any) proto.Message { return nested(&vectors.Everything{Any: a}) },
		`everything_map[k].any`:     func(a *anypb.Any) proto.Message { return mapped(&vectors.Everything{Any: a}) },
		`everything_map[k].anys[0]`: func(a *anypb.Any) proto.Message { return mapped(&vectors.Everything{Anys: []*anypb.Any{a}}) },
	} {
		t.Run(path, func(t *testing.T) {
			err := fingerprint.Stable(func() proto.Message { return build(packed(proto.MarshalOptions{})) })
			const built = " changes each time that the request is built: "

			want := "fingerprint: checking a onlyonce.fingerprint.v1.Everything: Any field " + path + built +
				"pack it with anypb.MarshalFrom and proto.MarshalOptions{Deterministic: true}"

			if err == nil || err.Error() != want {
				t.Errorf("%v, want\n%s", err, want)
			}

			if err := fingerprint.Stable(func() proto.Message { return build(packed(proto.MarshalOptions{Deterministic: true})) }); err != nil {
				t.Errorf("packed deterministically: %v", err)
			}
		})
	}
}

func nested(m *vectors.Everything) *vectors.Everything {
	return &vectors.Everything{Self: &vectors.Everything{Selves: []*vectors.Everything{m}}}
}

func mapped(m *vectors.Everything) *vectors.Everything {
	return &vectors.Everything{EverythingMap: map[string]*vectors.Everything{"k": m}}
}

func TestStableNamesTheFieldThatDiffers(t *testing.T) {
	type everything = vectors.Everything

	for path, build := range map[string]func(call int) *everything{
		"int32_value":     func(call int) *everything { return &everything{Int32Value: int32(call)} },
		"optional_string": func(call int) *everything { return &everything{OptionalString: new(strconv.Itoa(call))} },
		"optional_int32":  func(call int) *everything { return either(call, &everything{OptionalInt32: new(int32)}) },
		"leaf":            func(call int) *everything { return either(call, &everything{Leaf: &vectors.Leaf{}}) },
		"leaf.count":      func(call int) *everything { return &everything{Leaf: &vectors.Leaf{Count: int64(call)}} },
		"choice_leaf":     func(call int) *everything { return either(call, &everything{Choice: &vectors.Everything_ChoiceLeaf{}}) },
		"int32s":          func(call int) *everything { return &everything{Int32S: []int32{0, int32(call)}} },
		"leaves":          func(call int) *everything { return &everything{Leaves: make([]*vectors.Leaf, call)} },
		"leaves[1].count": func(call int) *everything { return &everything{Leaves: []*vectors.Leaf{{}, {Count: int64(call)}}} },
		"self.request_id": func(call int) *everything { return &everything{Self: &everything{RequestId: strconv.Itoa(call)}} },
		"string_map":      func(call int) *everything { return &everything{StringMap: map[string]string{"k": strconv.Itoa(call)}} },
		"time_map": func(call int) *everything {
			return &everything{TimeMap: map[int32]*timestamppb.Timestamp{int32(call): {}}}
		},
		"time_map[-1].nanos": func(call int) *everything {
			return &everything{TimeMap: map[int32]*timestamppb.Timestamp{-1: {Nanos: int32(call)}}}
		},
		"(unknown to this build)": func(call int) *everything {
			msg := new(everything)
			msg.ProtoReflect().SetUnknown(varint(2000, uint64(call)))

			return msg
		},
	} {
		t.Run(path, func(t *testing.T) {
			err := stable(func(call int) proto.Message { return build(call) })
			if err == nil || !strings.Contains(err.Error(), ": field "+path+" changes") || !strings.Contains(err.Error(), "ignored") {
				t.Errorf("%v does not name %s, and what to do", err, path)
			}
		})
	}
}

// stable calls Stable with a function that gets the number of its calls.
func stable(build func(call int) proto.Message) error {
	call := 0

	return fingerprint.Stable(func() proto.Message {
		call++

		return build(call)
	})
}

func either(call int, m *vectors.Everything) *vectors.Everything {
	if call%2 == 0 {
		return m
	}

	return new(vectors.Everything)
}

func TestStableAcceptsDifferencesThatDoNotCount(t *testing.T) {
	if err := stable(func(call int) proto.Message {
		text, leaf := strconv.Itoa(call), &vectors.Leaf{Name: "n", Note: strconv.Itoa(call)}

		return &vectors.Everything{
			RequestId: text, TraceId: text, FarIgnored: text, Leaf: leaf, Leaves: []*vectors.Leaf{leaf},
			LeafMap: map[string]*vectors.Leaf{"k": leaf}, IgnoredMap: map[string]*vectors.Leaf{text: leaf},
			StringMap: map[string]string{"a": "1", "b": "2", "c": "3"}, Struct: details(),
		}
	}); err != nil {
		t.Error(err)
	}
}

func TestStableReportsWhatCannotBeCompared(t *testing.T) {
	deep := parse(t, repeat(fingerprint.MaxDepth, nil, func(b []byte) []byte { return message(1, b) }), new(vectors.Branch))

	if err := stable(func(int) proto.Message { return deep }); !errors.Is(err, fingerprint.ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}

	for want, build := range map[string]func(call int) proto.Message{
		"build returned nil: return the request": func(int) proto.Message { return nil },
		"return one type": func(call int) proto.Message {
			if call == 1 {
				return &vectors.Leaf{Name: "n"}
			}

			return new(vectors.Branch)
		},
		"with the same values on every attempt": func(call int) proto.Message {
			return &vectors.Everything{DoubleValue: math.Float64frombits(0x7ff8000000000000 + uint64(call))}
		},
	} {
		if err := stable(build); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
func ExampleStable() {
	account, err := structpb.NewStruct(map[string]any{"bank": "onlybank", "branch": 42, "number": 7})
	if err != nil {
		panic(err)
	}

	// anypb.New writes the fields of account in another order each time.
	newRequest := func() proto.Message {
		packed, err := anypb.New(account)
		if err != nil {
			panic(err)
		}

		return &status.Status{Message: "paid", Details: []*anypb.Any{packed}}
	}

	subject, rest, _ := strings.Cut(fingerprint.Stable(newRequest).Error(), ": Any")
	problem, remedy, _ := strings.Cut(rest, ": ")
	fmt.Printf("%s:\n  Any%s:\n  %s\n", subject, problem, remedy)
	// Output:
	// fingerprint: checking a google.rpc.Status:
	//   Any field details[0] changes each time that the request is built:
	//   pack it with anypb.MarshalFrom and proto.MarshalOptions{Deterministic: true}
}
