package fingerprint_test

import (
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/onlyonce-go/onlyonce/fingerprint"
	vectors "github.com/onlyonce-go/onlyonce/internal/vectors/onlyonce/fingerprint/v1"
)

// oldNode is as generators made messages before 2018: it has no ProtoReflect and does not keep its size.
type oldNode struct {
	Next   *oldNode           `protobuf:"bytes,1,opt,name=next,proto3"`
	Body   []byte             `protobuf:"bytes,2,opt,name=body,proto3"`
	Items  []*oldNode         `protobuf:"bytes,3,rep,name=items,proto3"`
	Text   string             `protobuf:"bytes,4,opt,name=text,proto3"`
	Number float64            `protobuf:"fixed64,5,opt,name=number,proto3"`
	Packed []int32            `protobuf:"zigzag32,6,rep,packed,name=packed,proto3"`
	Loose  []uint64           `protobuf:"varint,7,rep,name=loose,proto3"`
	Map    map[int32]*oldNode `protobuf:"bytes,8,rep,name=map,proto3"              protobuf_key:"varint,1,opt" protobuf_val:"bytes,2,opt"`
	Words  map[string][]byte  `protobuf:"bytes,9,rep,name=words,proto3"            protobuf_key:"bytes,1,opt"  protobuf_val:"bytes,2,opt"`
}

func (m *oldNode) Reset()         { *m = oldNode{} }
func (m *oldNode) String() string { return "node" }
func (*oldNode) ProtoMessage()    {}

// newerNode is an oldNode that keeps its size.
type newerNode struct {
	Next   *newerNode           `protobuf:"bytes,1,opt,name=next,proto3"`
	Body   []byte               `protobuf:"bytes,2,opt,name=body,proto3"`
	Items  []*newerNode         `protobuf:"bytes,3,rep,name=items,proto3"`
	Text   string               `protobuf:"bytes,4,opt,name=text,proto3"`
	Number float64              `protobuf:"fixed64,5,opt,name=number,proto3"`
	Packed []int32              `protobuf:"zigzag32,6,rep,packed,name=packed,proto3"`
	Loose  []uint64             `protobuf:"varint,7,rep,name=loose,proto3"`
	Map    map[int32]*newerNode `protobuf:"bytes,8,rep,name=map,proto3"              protobuf_key:"varint,1,opt" protobuf_val:"bytes,2,opt"`
	Words  map[string][]byte    `protobuf:"bytes,9,rep,name=words,proto3"            protobuf_key:"bytes,1,opt"  protobuf_val:"bytes,2,opt"`

	XXX_sizecache int32 //nolint:revive,staticcheck // package proto knows it by its name
}

func (m *newerNode) Reset()         { *m = newerNode{} }
func (m *newerNode) String() string { return "node" }
func (*newerNode) ProtoMessage()    {}

// oldRequest keeps its size, and the messages in it do not.
type oldRequest struct {
	Node *oldNode `protobuf:"bytes,1,opt,name=node,proto3"`

	XXX_sizecache int32 //nolint:revive,staticcheck // package proto knows it by its name
}

func (m *oldRequest) Reset()         { *m = oldRequest{} }
func (m *oldRequest) String() string { return "request" }
func (*oldRequest) ProtoMessage()    {}

// ownNode encodes itself.
type ownNode struct {
	Next *ownNode `protobuf:"bytes,1,opt,name=next,proto3"`
	Text string   `protobuf:"bytes,4,opt,name=text,proto3"`

	encoded func(*ownNode)
}

func (m *ownNode) Reset()         { *m = ownNode{} }
func (m *ownNode) String() string { return "node" }
func (*ownNode) ProtoMessage()    {}

func (m *ownNode) Marshal() ([]byte, error) {
	m.encoded(m)

	var next []byte
	if m.Next != nil {
		m.Next.encoded = func(*ownNode) {}

		content, err := m.Next.Marshal()
		if err != nil {
			return nil, err
		}

		next = message(1, content)
	}

	return fields(next, text(4, m.Text)), nil
}

// chain is an old message of so many levels, with a text in the last one.
func chain[Node any](levels int, text string, wrap func(next *Node, text string) *Node) *Node {
	node := wrap(nil, text)
	for range levels - 1 {
		node = wrap(node, "")
	}

	return node
}

func inOld(next *oldNode, text string) *oldNode { return &oldNode{Next: next, Text: text} }

func TestMessagesThatDoNotKeepTheirSizeHaveTheFingerprintOfThoseThatDo(t *testing.T) {
	leaf := fields(message(2, []byte{0xff}), text(4, "text"), fixed64(5, math.Float64bits(math.Copysign(0, -1))))
	for name, wire := range map[string][]byte{
		"nothing":  nil,
		"scalars":  leaf,
		"messages": fields(message(1, leaf), message(3), message(3, leaf), message(3, message(1, message(1, leaf)))),
		"lists":    fields(message(6, []byte{1, 2, 0xff, 0x0f}), varint(7, 1), varint(7, math.MaxUint64), varint(6, 3)),
		"maps": fields(message(8, varint(1, 7), message(2, leaf)), message(8, varint(1, negative(-7))), message(8),
			message(9, text(1, "b"), text(2, "x")), message(9, text(1, "a")), message(9)),
		"much": fields(message(2, make([]byte, 300)), message(1, message(2, make([]byte, 70_000)))),
	} {
		want := of(t, parse(t, wire, protoadapt.MessageV2Of(new(newerNode))))

		if got := of(t, parse(t, wire, protoadapt.MessageV2Of(new(oldNode)))); got != want {
			t.Errorf("%s: another digest", name)
		}

		if got := of(t, parse(t, wire, dynamic(protoadapt.MessageV2Of(new(oldNode))))); got != want {
			t.Errorf("%s: another digest as a dynamic message", name)
		}
	}
}

func TestTextThatIsNotUTF8IsAnErrorWhereverItIs(t *testing.T) {
	for name, msg := range map[string]proto.Message{
		"old":        protoadapt.MessageV2Of(&oldNode{Text: "\xff"}),
		"in a list":  protoadapt.MessageV2Of(&oldNode{Items: []*oldNode{{Text: "\xff"}}}),
		"in a map":   protoadapt.MessageV2Of(&oldNode{Map: map[int32]*oldNode{1: {Text: "\xff"}}}),
		"a map key":  protoadapt.MessageV2Of(&oldNode{Words: map[string][]byte{"\xff": nil}}),
		"within":     protoadapt.MessageV2Of(&oldRequest{Node: &oldNode{Text: "\xff"}}),
		"keeps size": protoadapt.MessageV2Of(&newerNode{Text: "\xff"}),
	} {
		if _, err := fingerprint.Of(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOldMessagesNestedMoreThan100DeepAreAnError(t *testing.T) {
	for name, test := range map[string]func(levels int) proto.Message{
		"without its size": func(levels int) proto.Message {
			return protoadapt.MessageV2Of(chain(levels, "", inOld))
		},
		"in a message": func(levels int) proto.Message {
			return protoadapt.MessageV2Of(&oldRequest{Node: chain(levels-1, "", inOld)})
		},
		"in a map": func(levels int) proto.Message {
			return protoadapt.MessageV2Of(chain(levels, "", func(next *oldNode, text string) *oldNode {
				if next == nil {
					return &oldNode{Text: text}
				}

				return &oldNode{Map: map[int32]*oldNode{1: next}}
			}))
		},
		"encodes itself": func(levels int) proto.Message {
			node := chain(levels, "", func(next *ownNode, text string) *ownNode { return &ownNode{Next: next, Text: text} })
			node.encoded = func(*ownNode) {
				if levels > fingerprint.MaxDepth {
					t.Error("a message that is too deep is encoded")
				}
			}

			return protoadapt.MessageV2Of(node)
		},
	} {
		if _, err := fingerprint.Of(test(fingerprint.MaxDepth)); err != nil {
			t.Errorf("%s: %v", name, err)
		}

		for _, levels := range []int{fingerprint.MaxDepth + 1, 1000} {
			if _, err := fingerprint.Of(test(levels)); !errors.Is(err, fingerprint.ErrTooDeep) {
				t.Errorf("%s, %d levels: %v", name, levels, err)
			}
		}
	}
}

// A known extension counts by the bytes that package proto encodes, which takes longer the deeper the extension is nested.
func TestAnExtensionOfADynamicMessageNestedMoreThan100DeepIsAnError(t *testing.T) {
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(`name: "deep.proto" syntax: "proto2"
		message_type { name: "Node" extension_range { start: 100 end: 200 } }
		extension { name: "more" number: 100 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Node" extendee: "Node" }`), file); err != nil {
		t.Fatal(err)
	}

	built, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}

	more := dynamicpb.NewExtensionType(built.Extensions().Get(0))

	known := new(protoregistry.Types)
	if err := known.RegisterExtension(more); err != nil {
		t.Fatal(err)
	}

	of := func(levels int) error {
		msg := dynamicpb.NewMessage(built.Messages().Get(0))
		wire := repeat(levels-1, nil, func(b []byte) []byte { return message(100, b) })

		if err := (proto.UnmarshalOptions{Resolver: known}).Unmarshal(wire, msg); err != nil {
			t.Fatal(err)
		}

		if msg.Has(more.TypeDescriptor()) != (levels > 1) {
			t.Error("the extension is not known")
		}

		_, err := fingerprint.Of(msg)

		return err
	}

	if err := of(fingerprint.MaxDepth); err != nil {
		t.Error(err)
	}

	if err := of(fingerprint.MaxDepth + 1); !errors.Is(err, fingerprint.ErrTooDeep) {
		t.Errorf("Of: %v", err)
	}
}

// counted counts the visits to the messages within a dynamic message.
type counted struct {
	protoreflect.Message

	visits *int
}

func (c counted) ProtoReflect() protoreflect.Message   { return c }
func (c counted) Interface() protoreflect.ProtoMessage { return c }
func (c counted) ProtoMethods() *protoiface.Methods    { return nil }
func (c counted) GetUnknown() protoreflect.RawFields   { *c.visits++; return c.Message.GetUnknown() }
func (c counted) within(fd protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	if fd.Message() == nil || fd.IsList() || fd.IsMap() {
		return v
	}

	*c.visits++

	return protoreflect.ValueOfMessage(counted{v.Message(), c.visits})
}

func (c counted) Get(fd protoreflect.FieldDescriptor) protoreflect.Value {
	return c.within(fd, c.Message.Get(fd))
}

func (c counted) Range(visit func(protoreflect.FieldDescriptor, protoreflect.Value) bool) {
	c.Message.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool { return visit(fd, c.within(fd, v)) })
}

// F85: package proto moves the content of a dynamic message once for each level.
func TestF85ADynamicMessageIsNotEncodedBeyondTheDepthThatIsAllowed(t *testing.T) {
	visits := 0
	deep := parse(t, repeat(1000, nil, func(b []byte) []byte { return message(1, b) }), dynamic(new(vectors.Branch)))

	if _, err := fingerprint.Of(counted{deep.ProtoReflect(), &visits}); !errors.Is(err, fingerprint.ErrTooDeep) {
		t.Errorf("Of: %v", err)
	}

	if visits != fingerprint.MaxDepth {
		t.Errorf("%d messages within are visited, want %d", visits, fingerprint.MaxDepth)
	}
}
