package interceptor

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// requestField is a string, or bytes, in the request of a method.
type requestField struct {
	request protoreflect.FullName
	name    protoreflect.Name
	number  protoreflect.FieldNumber
	kind    protoreflect.Kind
}

func newRequestField(fd protoreflect.FieldDescriptor) *requestField {
	return &requestField{request: fd.ContainingMessage().FullName(), name: fd.Name(), number: fd.Number(), kind: fd.Kind()}
}

// fullName returns the name of the message and the field.
func (f *requestField) fullName() string { return string(f.request.Append(f.name)) }

// in returns the value of the field in a request, and whether it is set. A field with presence may be set to an empty value. Ok is false if
// the request is not of the type in the .proto, so the field cannot be read.
func (f *requestField) in(req any) (value string, set, ok bool) {
	if f == nil {
		return "", false, true
	}

	msg, ok := asMessage(req)
	if !ok {
		return "", false, false
	}

	// The request may have another descriptor of the same name than the registered one.
	r := msg.ProtoReflect()

	fd := r.Descriptor().Fields().ByNumber(f.number)
	if r.Descriptor().FullName() != f.request || fd == nil || fd.Kind() != f.kind || fd.Cardinality() == protoreflect.Repeated {
		return "", false, false
	}

	// A default does not count as a value.
	if !r.Has(fd) {
		return "", false, true
	}

	if f.kind == protoreflect.BytesKind {
		return string(r.Get(fd).Bytes()), true, true
	}

	return r.Get(fd).String(), true, true
}

// JoinScope returns the scope of a call whose request has fields that are marked as part of the scope. An operator needs it for
// onlyonce.Engine.Lookup. Scope is the result of the server's [Scope]. Fields are the values of the marked fields, sorted by field number.
//
// Each part is preceded by its length in bytes: the scope alice and the field acme make "5:alice4:acme". So different parts never make the
// same scope. Without fields, the result is scope itself.
func JoinScope(scope string, fields ...string) string {
	if len(fields) == 0 {
		return scope
	}

	var joined strings.Builder

	joined.Grow(len(scope) + len(fields)*32) // enough for most

	for i := -1; i < len(fields); i++ {
		part := scope
		if i >= 0 {
			part = fields[i]
		}

		joined.WriteString(strconv.Itoa(len(part)))
		joined.WriteByte(':')
		joined.WriteString(part)
	}

	return joined.String()
}
