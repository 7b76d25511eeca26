package interceptor

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// readFields finds the key and the scope in a request message.
func (a *annotations) readFields(request protoreflect.MessageDescriptor) {
	fields := request.Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)

		said, uuid, ok := a.field(fd)
		if !ok {
			continue
		}

		switch {
		case said.GetKey() && said.GetIgnored():
			a.complainf(fd, "is marked as the key and as ignored: the key is never part of the fingerprint, so leave ignored out")
		case said.GetKey() && said.GetScope():
			a.complainf(fd, "is marked as the key and as part of the scope: choose one")
		case said.GetScope() && said.GetIgnored():
			a.complainf(fd, "is marked as part of the scope and as ignored: choose one")
		}

		if said.GetKey() {
			a.addKey(fd, uuid)
		}

		if said.GetScope() {
			a.addScope(fd)
		}
	}

	a.readNested(request, map[protoreflect.FullName]bool{request.FullName(): true})
}

// field reads what the .proto says of a field. The last result is false where it says nothing.
func (a *annotations) field(fd protoreflect.FieldDescriptor) (said *onlyoncev1.Field, uuid, ok bool) {
	options := new(descriptorpb.FieldOptions)

	if err := readOptions(fd, options); err != nil {
		a.complainf(fd, "has options that cannot be read (%v): "+
			"generate the .proto again, with the onlyonce/v1/options.proto of this version", err)

		return nil, false, false
	}

	if !proto.HasExtension(options, onlyoncev1.E_Field) {
		return nil, false, false
	}

	said, ok = proto.GetExtension(options, onlyoncev1.E_Field).(*onlyoncev1.Field)
	if ok && len(said.ProtoReflect().GetUnknown()) > 0 {
		a.complainf(fd, "has an annotation that this build does not know: use a newer one, or leave the annotation out")
	}

	return said, declaresUUID(fd), ok
}

func (a *annotations) addKey(fd protoreflect.FieldDescriptor, uuid bool) {
	if !a.mustBeSingle(fd, "the key") {
		return
	}

	if fd.Kind() != protoreflect.StringKind {
		a.complainf(fd, "is marked as the key and is of type %v: mark a string", fd.Kind())

		return
	}

	if a.key != nil {
		a.complainf(fd, "is marked as the key, as %s is, too: mark one of them", a.key.name)

		return
	}

	a.key, a.uuid = newRequestField(fd), uuid
}

func (a *annotations) addScope(fd protoreflect.FieldDescriptor) {
	if !a.mustBeSingle(fd, "part of the scope") {
		return
	}

	if fd.Kind() != protoreflect.StringKind && fd.Kind() != protoreflect.BytesKind {
		a.complainf(fd, "is marked as part of the scope and is of type %v: mark a string or bytes", fd.Kind())

		return
	}

	// In the order of the numbers, whatever the order in the file.
	at := len(a.scope)
	for at > 0 && a.scope[at-1].number > fd.Number() {
		at--
	}

	a.scope = append(a.scope[:at], append([]*requestField{newRequestField(fd)}, a.scope[at:]...)...)
}

func (a *annotations) mustBeSingle(fd protoreflect.FieldDescriptor, what string) bool {
	switch oneof := fd.ContainingOneof(); {
	case fd.IsMap():
		a.complainf(fd, "is marked as %s and is a map: mark a field with a single value", what)
	case fd.IsList():
		a.complainf(fd, "is marked as %s and is repeated: mark a field with a single value", what)
	case oneof != nil && !oneof.IsSynthetic():
		a.complainf(fd, "is marked as %s and is in oneof %s: mark a field that is always there", what, oneof.Name())
	case fd.HasDefault():
		a.complainf(fd, "is marked as %s and has a default, which all calls that do not set it would share: leave the default out", what)
	default:
		return true
	}

	return false
}

// readNested complains of a key or a scope that nobody would look at, since it is not in the request itself. A message that
// is itself the request of some method has marks for that method.
func (a *annotations) readNested(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	fields := message.Fields()

	for i := range fields.Len() {
		inner := fields.Get(i).Message()
		if inner == nil || inner.IsPlaceholder() || seen[inner.FullName()] {
			continue
		}

		seen[inner.FullName()] = true

		if !isRequest(inner) {
			a.checkNested(inner)
		}

		a.readNested(inner, seen)
	}
}

func (a *annotations) checkNested(message protoreflect.MessageDescriptor) {
	fields := message.Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)
		said, _, _ := a.field(fd)

		if said.GetKey() && a.key == nil {
			a.complainf(fd, "is marked as the key and is in a message within the request: mark a field of the request itself")
		}

		if said.GetScope() {
			a.complainf(fd, "is marked as part of the scope and is in a message within the request: mark a field of the request itself")
		}
	}
}

// isRequest reports whether a method of the same file takes the message.
func isRequest(message protoreflect.MessageDescriptor) bool {
	services := message.ParentFile().Services()

	for i := range services.Len() {
		methods := services.Get(i).Methods()

		for j := range methods.Len() {
			if methods.Get(j).Input().FullName() == message.FullName() {
				return true
			}
		}
	}

	return false
}

func (a *annotations) complainf(fd protoreflect.FieldDescriptor, format string, args ...any) {
	a.fieldProblems = append(a.fieldProblems, fmt.Errorf("interceptor: field %s "+format, append([]any{fd.FullName()}, args...)...))
}

// declaresUUID reports whether a field declares (google.api.field_info).format = UUID4. The extension is looked for in the
// encoded options, so that its package need not be linked in.
// See https://github.com/googleapis/googleapis/blob/master/google/api/field_info.proto.
func declaresUUID(fd protoreflect.FieldDescriptor) bool {
	const (
		fieldInfo = 291403980
		format    = 1
		uuid4     = 1
	)

	options, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fd.Options())
	if err != nil {
		return false
	}

	var info []byte // in pieces, perhaps

	err = eachField(options, func(number protowire.Number, value []byte) error {
		if number == fieldInfo {
			info = append(info, value...)
		}

		return nil
	})

	return err == nil && lastVarint(info, format) == uuid4
}

// lastVarint is the value of a number in an encoded message, and 0 where it has none.
func lastVarint(data []byte, wanted protowire.Number) (value uint64) {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return 0
		}

		size := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if size < 0 {
			return 0
		}

		if number == wanted && kind == protowire.VarintType {
			value, _ = protowire.ConsumeVarint(data[tag:])
		}

		data = data[tag+size:]
	}

	return value
}
