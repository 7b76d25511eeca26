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

// plan describes a message type for the canonical form. A field that the plan does not have is unknown.
type plan struct {
	low  [32]*field // by number; nearly all numbers are low
	high map[protowire.Number]*field
}

// field returns the field of a number, or nil. If the encoding does not suit the field, the occurrence is unknown.
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

// field describes a known field.
type field struct {
	treatment treatment
	// message is the plan of the field's message, or of a map's values. It is nil for scalars.
	message *plan
	// element is the wire type of a single value. It is not used if the field is dropped.
	element protowire.Type
	// key is the kind of a map's keys.
	key protoreflect.Kind
}

// suits reports whether a field of its type can have this wire type. The encoder keeps any other occurrence as an unknown field, under the
// number of a known one.
func (f *field) suits(kind protowire.Type) bool {
	return kind == f.element || f.treatment == packed && kind == protowire.BytesType
}

// treatment is how the canonical form treats a field.
type treatment uint8

const (
	copied    treatment = iota + 1 // a scalar, a string or bytes, whose encoding is canonical
	dropped                        // ignored, or the key of the request
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

var cache plans //nolint:gochecknoglobals // a cache of facts about descriptors

// planOf returns the plan of a request.
func planOf(descriptor protoreflect.MessageDescriptor) *plan {
	if p, ok := cache.known.Load(descriptor); ok {
		return p.(*plan) //nolint:forcetypeassert,errcheck // nothing else is stored
	}

	p := newPlan(descriptor, make(map[protoreflect.MessageDescriptor]*plan))

	// The key is dropped only from the request. Within another message it is a field like others, so a request inside a request has
	// another plan.
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

// wireType returns the wire type of a single value.
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

// annotation returns the kit's options of a field, or nil. A descriptor made at run time may have the options as unknown bytes, or in
// another Go type, so they are decoded again.
func annotation(fd protoreflect.FieldDescriptor) *onlyoncev1.Field {
	data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fd.Options())
	if err != nil || len(data) == 0 {
		return nil
	}

	options := new(descriptorpb.FieldOptions)
	if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(data, options) != nil {
		return nil
	}

	declared, _ := proto.GetExtension(options, onlyoncev1.E_Field).(*onlyoncev1.Field)

	return declared
}
