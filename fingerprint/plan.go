package fingerprint

import (
	"maps"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// plan says what the canonical form has to know of a message type. A field that is in no plan is an unknown one.
type plan struct {
	low  [32]*field // by number, as far as numbers are low, which they nearly always are
	high map[protowire.Number]*field
}

// field is the known field of a number, or nil. An occurrence that is encoded as the field cannot be is among the unknown ones.
func (p *plan) field(n protowire.Number, kind protowire.Type) *field {
	f := p.numbered(n)
	if f != nil && f.treatment != dropped && !f.suits(kind) {
		return nil
	}

	return f
}

func (p *plan) numbered(n protowire.Number) *field {
	if p == nil {
		return nil
	}

	if int(n) < len(p.low) {
		return p.low[n]
	}

	return p.high[n]
}

// field is a field that is known.
type field struct {
	treatment treatment
	// message is the plan of the field's message, or of a map's values. It is nil for scalars.
	message *plan
	// element is how a value is encoded by itself. It means nothing where the field is dropped.
	element protowire.Type
	// key is the kind of a map's keys.
	key protoreflect.Kind
}

// suits is whether a field of its type can be encoded so. The encoder keeps what cannot as an unknown field, under the number of
// a known one.
func (f *field) suits(kind protowire.Type) bool {
	return kind == f.element || f.treatment == packed && kind == protowire.BytesType
}

// treatment is what becomes of a field.
type treatment uint8

const (
	copied    treatment = iota + 1 // the encoding of a scalar, a text or bytes is canonical
	dropped                        // ignored
	nested                         // a message
	delimited                      // a group
	packed                         // a list of scalars that can be packed
	mapped                         // a map
)

// mostPlans bounds the cache of plans, for programs that make descriptors at run time.
const mostPlans = 4096

type plans struct {
	known sync.Map // protoreflect.MessageDescriptor to *plan
	count atomic.Int64
}

var cache plans //nolint:gochecknoglobals // a cache of what descriptors say

// planOf is the plan of a request.
func planOf(descriptor protoreflect.MessageDescriptor) *plan {
	if p, ok := cache.known.Load(descriptor); ok {
		return p.(*plan) //nolint:forcetypeassert,errcheck // nothing else is stored
	}

	p := newPlan(descriptor, make(map[protoreflect.MessageDescriptor]*plan))

	// The key is dropped from the request alone: within another message it is a field like others. A request that contains
	// requests of its own type has them planned apart.
	request := *p

	for i := range descriptor.Fields().Len() {
		if fd := descriptor.Fields().Get(i); annotation(fd).GetKey() {
			request.add(fd.Number(), &field{treatment: dropped})
		}
	}

	if cache.count.Add(1) <= mostPlans {
		cache.known.Store(descriptor, &request)
	}

	return &request
}

func newPlan(descriptor protoreflect.MessageDescriptor, made map[protoreflect.MessageDescriptor]*plan) *plan {
	if p := made[descriptor]; p != nil {
		return p
	}

	p := new(plan)
	made[descriptor] = p

	for i := range descriptor.Fields().Len() {
		fd := descriptor.Fields().Get(i)
		p.add(fd.Number(), newField(fd, made))
	}

	return p
}

// add adds a field. Plans are copied, so a map is never changed.
func (p *plan) add(n protowire.Number, f *field) {
	if int(n) < len(p.low) {
		p.low[n] = f

		return
	}

	high := make(map[protowire.Number]*field, len(p.high)+1)
	maps.Copy(high, p.high)

	high[n] = f
	p.high = high
}

func newField(fd protoreflect.FieldDescriptor, made map[protoreflect.MessageDescriptor]*plan) *field {
	f := &field{treatment: copied, element: wireType(fd.Kind())}

	switch {
	case annotation(fd).GetIgnored():
		f.treatment = dropped
	case fd.IsMap():
		f.treatment, f.key = mapped, fd.MapKey().Kind()
		f.element = protowire.BytesType

		if value := fd.MapValue().Message(); value != nil {
			f.message = newPlan(value, made)
		}
	case fd.Kind() == protoreflect.GroupKind:
		f.treatment, f.message = delimited, newPlan(fd.Message(), made)
	case fd.Kind() == protoreflect.MessageKind:
		f.treatment, f.message = nested, newPlan(fd.Message(), made)
	case fd.IsList() && f.element != protowire.BytesType:
		f.treatment = packed
	}

	return f
}

// wireType is how a value is encoded by itself.
func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

// annotation is what the .proto says about a field; nil where it says nothing. In a descriptor made at run time the options may
// have been read by a program that did not know ours, or knew them by a type of its own, so they are read again.
func annotation(fd protoreflect.FieldDescriptor) *onlyoncev1.Field {
	data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fd.Options())
	if err != nil || len(data) == 0 {
		return nil
	}

	options := new(descriptorpb.FieldOptions)
	if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(data, options) != nil {
		return nil
	}

	said, _ := proto.GetExtension(options, onlyoncev1.E_Field).(*onlyoncev1.Field)

	return said
}
