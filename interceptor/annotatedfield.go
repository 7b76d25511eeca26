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

		mark, ok := a.field(fd)
		if !ok {
			continue
		}

		if a.marked == "" && (mark.GetKey() || mark.GetScope()) {
			a.marked = fd.FullName()
		}

		switch {
		case mark.GetKey() && mark.GetIgnored():
			a.complainf(fd, "is marked as the key and as ignored: the key is never part of the fingerprint, so leave ignored out")
		case mark.GetKey() && mark.GetScope():
			a.complainf(fd, "is marked as the key and as part of the scope: choose one")
		case mark.GetScope() && mark.GetIgnored():
			a.complainf(fd, "is marked as part of the scope and as ignored: choose one")
		}

		if mark.GetKey() {
			a.addKey(fd)
		}

		if mark.GetScope() {
			a.addScope(fd)
		}
	}

	a.readExtensions(request)
	a.readNested(request, map[protoreflect.FullName]bool{request.FullName(): true})
}

// field reads the options of a request field. Ok is false if it has none.
func (a *annotations) field(fd protoreflect.FieldDescriptor) (mark *onlyoncev1.Field, ok bool) {
	options := new(descriptorpb.FieldOptions)

	if err := readOptions(fd, options); err != nil {
		a.complainf(fd, "has options that cannot be read (%v): "+
			"generate the .proto again, with the onlyonce/v1/options.proto of this version", err)

		return nil, false
	}

	if !proto.HasExtension(options, onlyoncev1.E_Field) {
		return nil, false
	}

	mark, ok = proto.GetExtension(options, onlyoncev1.E_Field).(*onlyoncev1.Field)
	if ok && len(mark.ProtoReflect().GetUnknown()) > 0 {
		a.complainf(fd, "has an annotation that this build does not know: use a newer build, or leave the annotation out")
	}

	return mark, ok
}

func (a *annotations) addKey(fd protoreflect.FieldDescriptor) {
	if !a.mustBeSingle(fd, "the key") {
		return
	}

	if fd.Kind() != protoreflect.StringKind {
		a.complainf(fd, "is marked as the key and is of type %v: mark a string", fd.Kind())

		return
	}

	if a.key != nil {
		a.complainf(fd, "is marked as the key, and so is %s: mark one of them", a.key.name)

		return
	}

	uuid, err := declaresUUID(fd)
	if err != nil {
		a.complainf(fd, "is marked as the key and declares a (google.api.field_info) that cannot be read (%v), so it is not known "+
			"whether keys are UUIDs: generate the .proto again, with the google/api/field_info.proto of googleapis", err)
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

	// Sorted by field number, in whatever order the file has them.
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
		a.complainf(fd, "is marked as %s and is in oneof %s: mark a field outside of oneofs", what, oneof.Name())
	case fd.HasDefault():
		a.complainf(fd, "is marked as %s and has a default, which all calls without a value would share: leave the default out", what)
	default:
		return true
	}

	return false
}

// readExtensions reports marks on extensions of a message. Whether an extension is linked in depends on the program. So extensions carry no
// key and no scope, and all of them count for the fingerprint.
func (a *annotations) readExtensions(message protoreflect.MessageDescriptor) {
	if message.ExtensionRanges().Len() == 0 {
		return
	}

	for _, fd := range extensionsOf(message.FullName()) {
		if mark, _ := a.field(fd); mark.GetKey() || mark.GetScope() || mark.GetIgnored() {
			a.complainf(fd, "is an extension, and marks on extensions have no effect: mark a field that %s declares itself", message.FullName())
		}
	}
}

// readNested reports marks without effect, because they are not in the request itself.
func (a *annotations) readNested(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
	fields := message.Fields()

	for i := range fields.Len() {
		inner := fields.Get(i).Message()
		if inner == nil || seen[inner.FullName()] {
			continue
		}

		inner = resolved(inner)
		seen[inner.FullName()] = true

		a.checkNested(inner)
		a.readExtensions(inner)
		a.readNested(inner, seen)
	}
}

// checkNested reports a key or a scope in a message within the request. It does not report a message that is itself the request of some
// method: its marks are for that method.
func (a *annotations) checkNested(message protoreflect.MessageDescriptor) {
	const advice = "mark a field of the request itself, or link in the service whose request that message is"

	fields := message.Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)
		mark, _ := a.field(fd)
		key, scope := mark.GetKey() && a.key == nil, mark.GetScope()

		if !key && !scope || isRequest(message) {
			continue
		}

		if key {
			a.complainf(fd, "is marked as the key and is in a message within the request: "+advice)
		}

		if scope {
			a.complainf(fd, "is marked as part of the scope and is in a message within the request: "+advice)
		}
	}
}

func (a *annotations) complainf(fd protoreflect.FieldDescriptor, format string, args ...any) {
	a.fieldProblems = append(a.fieldProblems, fmt.Errorf("interceptor: field %s "+format, append([]any{fd.FullName()}, args...)...))
}

// declaresUUID reports whether a field declares (google.api.field_info).format = UUID4. It reads the encoded options, so the package of the
// extension need not be linked in. See https://github.com/googleapis/googleapis/blob/master/google/api/field_info.proto.
func declaresUUID(fd protoreflect.FieldDescriptor) (bool, error) {
	const (
		fieldInfo = 291403980
		format    = 1
		uuid4     = 1
	)

	options, err := proto.MarshalOptions{AllowPartial: true}.Marshal(fd.Options())
	if err != nil {
		return false, err
	}

	var info []byte // an encoding may have it in pieces

	if err := eachValue(options, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != fieldInfo {
			return nil
		}

		if kind != protowire.BytesType {
			return fmt.Errorf("its wire type is %d", kind)
		}

		piece, _ := protowire.ConsumeBytes(value)
		info = append(info, piece...)

		return nil
	}); err != nil {
		return false, err
	}

	declared := uint64(0)

	err = eachValue(info, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != format {
			return nil
		}

		if kind != protowire.VarintType {
			return fmt.Errorf("the wire type of its format is %d", kind)
		}

		declared, _ = protowire.ConsumeVarint(value)

		return nil
	})

	return declared == uuid4, err
}

// eachValue visits the fields of an encoded message. The value is the encoding after the tag.
func eachValue(data []byte, visit func(protowire.Number, protowire.Type, []byte) error) error {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return protowire.ParseError(tag)
		}

		size := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}

		if err := visit(number, kind, data[tag:tag+size]); err != nil {
			return err
		}

		data = data[tag+size:]
	}

	return nil
}
