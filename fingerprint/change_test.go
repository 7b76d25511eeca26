package fingerprint_test

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// change is one way to change a message, at any depth.
type change struct {
	name    string
	ignored bool // the digest stays
	apply   func()
}

// changes lists the ways to change a message. Apply only one of them, because they interfere with each other.
func (c *choices) changes(msg protoreflect.Message) []change {
	var all []change

	c.inMessage(msg, "", 1, false, &all)

	return all
}

func (c *choices) inMessage(msg protoreflect.Message, path string, depth int, ignored bool, all *[]change) {
	fields := msg.Descriptor().Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)
		name := path + "." + string(fd.Name())
		ignored := ignored || !counts(fd, depth)
		add := func(what string, apply func()) { *all = append(*all, change{name + " " + what, ignored, apply}) }

		switch {
		case fd.IsMap():
			c.inMap(msg, fd, name, depth, ignored, all)
		case fd.IsList():
			c.inList(msg, fd, name, depth, ignored, all)
		case msg.Has(fd):
			add("cleared", func() { msg.Clear(fd) })

			if fd.Message() != nil {
				c.inMessage(msg.Mutable(fd).Message(), name, depth+1, ignored, all)
			} else {
				add("altered", func() { msg.Set(fd, altered(fd, msg.Get(fd))) })
			}
		case !fd.HasPresence():
			add("set", func() { msg.Set(fd, altered(fd, msg.Get(fd))) })
		// In a oneof, the replaced member may count.
		case fd.ContainingOneof() == nil || msg.WhichOneof(fd.ContainingOneof()) == nil || !ignored:
			add("set to its default", func() { msg.Set(fd, msg.NewField(fd)) })
		}
	}

	*all = append(*all, change{path + " with an unknown field", ignored, func() {
		msg.SetUnknown(append(append([]byte(nil), msg.GetUnknown()...), 0xb8, 2, 1)) // of number 39
	}})
}

func (c *choices) inList(
	msg protoreflect.Message, fd protoreflect.FieldDescriptor, name string, depth int, ignored bool, all *[]change,
) {
	add := func(what string, apply func()) { *all = append(*all, change{name + " " + what, ignored, apply}) }
	add("with one more", func() {
		list := msg.Mutable(fd).List()
		list.Append(list.NewElement())
	})

	list := msg.Get(fd).List()
	if list.Len() == 0 {
		return
	}

	i := c.below(list.Len())

	add("with one less", func() { msg.Mutable(fd).List().Truncate(list.Len() - 1) })

	if fd.Message() != nil {
		c.inMessage(list.Get(i).Message(), name, depth+1, ignored, all)
	} else {
		add("with another element", func() { msg.Mutable(fd).List().Set(i, altered(fd, list.Get(i))) })
	}
}

func (c *choices) inMap(
	msg protoreflect.Message, fd protoreflect.FieldDescriptor, name string, depth int, ignored bool, all *[]change,
) {
	add := func(what string, apply func()) { *all = append(*all, change{name + " " + what, ignored, apply}) }

	fresh := c.scalar(fd.MapKey()).MapKey()
	for msg.Get(fd).Map().Has(fresh) {
		fresh = altered(fd.MapKey(), fresh.Value()).MapKey()

		if fd.MapKey().Kind() == protoreflect.BoolKind && msg.Get(fd).Map().Len() == 2 {
			break
		}
	}

	if !msg.Get(fd).Map().Has(fresh) {
		add("with one more", func() { msg.Mutable(fd).Map().Set(fresh, msg.Mutable(fd).Map().NewValue()) })
	}

	msg.Get(fd).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		add("with one less", func() { msg.Mutable(fd).Map().Clear(k) })

		if fd.MapValue().Message() != nil {
			c.inMessage(v.Message(), name, depth+1, ignored, all)
		} else {
			add("with another value", func() { msg.Mutable(fd).Map().Set(k, altered(fd.MapValue(), v)) })
		}

		if !msg.Get(fd).Map().Has(fresh) {
			add("with another key", func() {
				msg.Mutable(fd).Map().Clear(k)
				msg.Mutable(fd).Map().Set(fresh, v)
			})
		}

		return true
	})
}

// altered is a value near to this one.
func altered(fd protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!v.Bool())
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(v.Enum() ^ 1)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(v.Int()) + 1)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(v.Int() + 1)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(v.Uint()) + 1)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(v.Uint() + 1)
	case protoreflect.FloatKind:
		if v.Float() == 5 {
			return protoreflect.ValueOfFloat32(6)
		}

		return protoreflect.ValueOfFloat32(5)
	case protoreflect.DoubleKind:
		if v.Float() == 5 {
			return protoreflect.ValueOfFloat64(6)
		}

		return protoreflect.ValueOfFloat64(5)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(v.String() + "+")
	default:
		return protoreflect.ValueOfBytes(append(append([]byte(nil), v.Bytes()...), 0))
	}
}
