package fingerprint_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// choices makes choices from the bytes of a fuzz input, then from a generator.
type choices struct {
	data []byte
	more *rand.Rand
}

func newChoices(data []byte) *choices {
	var seed [32]byte
	copy(seed[:], data)
	seed[31] ^= byte(len(data))

	return &choices{data: data, more: rand.New(rand.NewChaCha8(seed))}
}

func (c *choices) below(n int) int {
	if len(c.data) < 2 {
		return c.more.IntN(n)
	}

	chosen := (int(c.data[0])<<8 | int(c.data[1])) % n
	c.data = c.data[2:]

	return chosen
}

func (c *choices) oneIn(n int) bool { return c.below(n) == 0 }

func pick[T any](c *choices, from ...T) T { return from[c.below(len(from))] }

// message fills in some fields of a message.
func (c *choices) message(msg protoreflect.Message, depth int) {
	fields := msg.Descriptor().Fields()

	for range min(c.below(8), 8*fields.Len()) {
		c.field(msg, fields.Get(c.below(fields.Len())), depth)
	}

	if c.oneIn(3) {
		msg.SetUnknown(c.unknown(nil, 0))
	}
}

// ofAnything is a message of that type.
func (c *choices) ofAnything(empty proto.Message) proto.Message {
	c.message(empty.ProtoReflect(), 0)
	c.message(empty.ProtoReflect(), 0)

	return empty
}

const deepestRandom = 3

func (c *choices) field(msg protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) {
	if fd.Message() != nil && depth > deepestRandom {
		return
	}

	switch {
	case fd.IsMap():
		for range c.below(5) {
			msg.Mutable(fd).Map().Set(c.scalar(fd.MapKey()).MapKey(), c.value(fd.MapValue(), msg.Mutable(fd).Map().NewValue(), depth))
		}
	case fd.IsList():
		for range c.below(5) {
			msg.Mutable(fd).List().Append(c.value(fd, msg.Mutable(fd).List().NewElement(), depth))
		}
	default:
		msg.Set(fd, c.value(fd, msg.NewField(fd), depth))
	}
}

func (c *choices) value(fd protoreflect.FieldDescriptor, empty protoreflect.Value, depth int) protoreflect.Value {
	if fd.Message() == nil {
		return c.scalar(fd)
	}

	c.message(empty.Message(), depth+1)

	return empty
}

func (c *choices) scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(c.oneIn(2))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(pick[protoreflect.EnumNumber](c, 0, 1, 2, -1, 77, math.MinInt32))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(pick[int32](c, 0, 1, -1, 127, 128, 300, math.MaxInt32, math.MinInt32, int32(c.below(1<<16))))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(pick[int64](c, 0, 1, -1, 127, 128, 1<<40, math.MaxInt64, math.MinInt64, int64(c.below(1<<16))))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(pick[uint32](c, 0, 1, 127, 128, 1<<31, math.MaxUint32, uint32(c.below(1<<16))))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(pick[uint64](c, 0, 1, 127, 128, 1<<63, math.MaxUint64, uint64(c.below(1<<16))))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(pick(c, 0, float32(math.Copysign(0, -1)), 1, -1.5, float32(math.Inf(1)),
			math.Float32frombits(0x7fc00000), math.Float32frombits(0xffc00001)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(pick(c, 0, math.Copysign(0, -1), 1, -1.5, math.Inf(-1),
			math.Float64frombits(0x7ff8000000000000), math.Float64frombits(0x7ff0000000000001)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(pick(c, "", "a", "b", "ab", "z", "é", "\x00", "\u2028", "\U0001f600", "\ufffd",
			strings.Repeat("x", 127), strings.Repeat("x", 128)))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Clone(pick(c, []byte{}, []byte{0}, []byte{0x80}, []byte{8, 1}, []byte("bytes"), make([]byte,
			130))))
	default:
		panic(fmt.Sprintf("no value for a %v", fd.Kind()))
	}
}

// unknown appends fields of numbers that no message has.
func (c *choices) unknown(data []byte, depth int) []byte {
	for range c.below(5) {
		number := pick[protowire.Number](c, 38, 39, 129, 150, 2000, 1<<29-1)

		switch c.below(5) {
		case 0:
			data = c.varint(c.tag(data, number, protowire.VarintType), uint64(c.below(1<<16)))
		case 1:
			data = protowire.AppendFixed32(c.tag(data, number, protowire.Fixed32Type), uint32(c.below(1<<16)))
		case 2:
			data = protowire.AppendFixed64(c.tag(data, number, protowire.Fixed64Type), uint64(c.below(1<<16)))
		case 3:
			data = c.bytes(c.tag(data, number, protowire.BytesType), make([]byte, c.below(4)))
		default:
			data = c.tag(data, number, protowire.StartGroupType)
			if depth < deepestRandom {
				data = c.unknown(data, depth+1)
			}

			data = c.tag(data, number, protowire.EndGroupType)
		}
	}

	return data
}

// varint appends a number, sometimes in more bytes than it needs.
func (c *choices) varint(data []byte, n uint64) []byte {
	if !c.oneIn(4) || n >= 1<<56 {
		return protowire.AppendVarint(data, n)
	}

	data = protowire.AppendVarint(data, n)
	for range 1 + c.below(2) {
		data[len(data)-1] |= 0x80
		data = append(data, 0)
	}

	return data
}

func (c *choices) tag(data []byte, number protowire.Number, kind protowire.Type) []byte {
	return c.varint(data, protowire.EncodeTag(number, kind))
}

func (c *choices) bytes(data, value []byte) []byte {
	return append(c.varint(data, uint64(len(value))), value...)
}

// sent is an encoding of a message as an unusual client might send it: fields in any order, lists in pieces, and whatever else
// means the same to a parser.
func (c *choices) sent(msg protoreflect.Message) []byte { return bytes.Join(c.shuffled(msg), nil) }

// shuffled is the records of a message.
func (c *choices) shuffled(msg protoreflect.Message) (records [][]byte) {
	queues := make(map[string][][]byte) // records that keep their order
	names := []string(nil)
	add := func(name string, records ...[]byte) {
		if len(records) > 0 {
			names = append(names, name)
			queues[name] = append(queues[name], records...)
		}
	}

	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := string(fd.Name())

		if of := fd.ContainingOneof(); of != nil {
			name = "oneof " + string(of.Name())
		}

		switch {
		case msg.Has(fd):
			add(name, c.records(fd, msg.Get(fd))...)
		case !fd.HasPresence() && fd.Cardinality() != protoreflect.Repeated && c.oneIn(8): // a default may be sent
			add(name, c.record(fd, c.scalar(fd)), c.record(fd, fd.Default()))
		}
	}

	for data := msg.GetUnknown(); len(data) > 0; {
		number, _, size := protowire.ConsumeField(data)
		add(fmt.Sprint(number), c.again(data[:size]))
		data = data[size:]
	}

	for len(names) > 0 {
		i := c.below(len(names))
		name := names[i]
		names[i] = names[len(names)-1]
		names = names[:len(names)-1]

		for { // as many as are in the queue for one name
			records = append(records, queues[name][0])
			queues[name] = queues[name][1:]

			if len(queues[name]) == 0 || c.oneIn(2) {
				break
			}
		}

		if len(queues[name]) > 0 {
			names = append(names, name)
		}

		names = without(names, queues)
	}

	return records
}

// without leaves out the names of queues that are empty.
func without(names []string, queues map[string][][]byte) []string {
	left := names[:0]

	for _, name := range names {
		if len(queues[name]) > 0 {
			left = append(left, name)
		}
	}

	return left
}

// again is an unknown field in another encoding.
func (c *choices) again(data []byte) []byte {
	number, kind, tag := protowire.ConsumeTag(data)
	value := data[tag:]

	switch kind {
	case protowire.VarintType:
		n, _ := protowire.ConsumeVarint(value)

		return c.varint(c.tag(nil, number, kind), n)
	case protowire.BytesType:
		content, _ := protowire.ConsumeBytes(value)

		return c.bytes(c.tag(nil, number, kind), content)
	case protowire.StartGroupType:
		content, _ := protowire.ConsumeGroup(number, value)

		var before []byte

		for len(content) > 0 { // neighbours with other numbers change places
			_, _, size := protowire.ConsumeField(content)
			first, next := content[:size], content[size:]
			content = next

			a, _, _ := protowire.ConsumeField(first)
			if b, _, size := protowire.ConsumeField(next); len(next) > 0 && a != b && c.oneIn(2) {
				before = append(before, c.again(next[:size])...)
				content = append(bytes.Clone(first), next[size:]...)

				continue
			}

			before = append(before, c.again(first)...)
		}

		return c.tag(append(c.tag(nil, number, kind), before...), number, protowire.EndGroupType)
	default:
		return append(c.tag(nil, number, kind), value...)
	}
}

func (c *choices) records(fd protoreflect.FieldDescriptor, v protoreflect.Value) (records [][]byte) {
	switch {
	case fd.IsMap():
		return c.entries(fd, v.Map())
	case fd.IsList() && fd.Message() == nil && wireOf(fd.Kind()) != wireBytes:
		return c.pieces(fd, v.List())
	case fd.IsList():
		for i := range v.List().Len() {
			records = append(records, c.record(fd, v.List().Get(i)))
		}

		return records
	case fd.Message() != nil && c.oneIn(4): // in two, which are merged
		inner := c.shuffled(v.Message())
		cut := c.below(len(inner) + 1)

		return [][]byte{c.framed(fd, bytes.Join(inner[:cut], nil)), c.framed(fd, bytes.Join(inner[cut:], nil))}
	case fd.Message() == nil && c.oneIn(4): // the last one counts
		records = append(records, c.record(fd, c.scalar(fd)))
	}

	return append(records, c.record(fd, v))
}

// pieces is a list of scalars, some by themselves and some packed.
func (c *choices) pieces(fd protoreflect.FieldDescriptor, list protoreflect.List) (records [][]byte) {
	for i := 0; i < list.Len(); {
		if c.oneIn(3) {
			records = append(records, c.record(fd, list.Get(i)))
			i++

			continue
		}

		var packed []byte

		for range c.below(4) { // a piece may be empty
			if i < list.Len() {
				packed = c.scalarBytes(packed, fd.Kind(), list.Get(i))
				i++
			}
		}

		records = append(records, c.bytes(c.tag(nil, fd.Number(), protowire.BytesType), packed))
	}

	return records
}

func (c *choices) entries(fd protoreflect.FieldDescriptor, m protoreflect.Map) (records [][]byte) {
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool { // in any order
		key, value := c.record(fd.MapKey(), k.Value()), c.record(fd.MapValue(), v)

		if k.Value().Equal(fd.MapKey().Default()) && c.oneIn(2) {
			key = nil
		}

		if fd.MapValue().Message() == nil {
			if bytes.Trim(scalar(fd.MapValue().Kind(), v), "\x00") == nil && c.oneIn(2) {
				value = nil
			}

			if c.oneIn(4) { // the last one counts
				earlier := append(c.record(fd.MapKey(), k.Value()), c.record(fd.MapValue(), c.scalar(fd.MapValue()))...)
				records = append(records, c.bytes(c.tag(nil, fd.Number(), protowire.BytesType), earlier))
			}
		}

		if c.oneIn(2) {
			key, value = value, key
		}

		records = append(records, c.bytes(c.tag(nil, fd.Number(), protowire.BytesType), append(key, value...)))

		return true
	})

	return records
}

// record is one value, with its tag.
func (c *choices) record(fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	if fd.Message() != nil {
		return c.framed(fd, c.sent(v.Message()))
	}

	return c.scalarBytes(c.tag(nil, fd.Number(), protowire.Type(wireOf(fd.Kind()))), fd.Kind(), v)
}

func (c *choices) framed(fd protoreflect.FieldDescriptor, content []byte) []byte {
	if fd.Kind() == protoreflect.GroupKind {
		return c.tag(append(c.tag(nil, fd.Number(), protowire.StartGroupType), content...), fd.Number(), protowire.EndGroupType)
	}

	return c.bytes(c.tag(nil, fd.Number(), protowire.BytesType), content)
}

func (c *choices) scalarBytes(data []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	encoded := scalar(kind, v)

	switch wireOf(kind) {
	case wireVarint:
		n, _ := protowire.ConsumeVarint(encoded)

		return c.varint(data, n)
	case wireBytes:
		content, _ := protowire.ConsumeBytes(encoded)

		return c.bytes(data, content)
	default:
		return append(data, encoded...)
	}
}
