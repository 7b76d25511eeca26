package interceptor

import (
	"reflect"

	"google.golang.org/protobuf/proto"
)

// clientReply is the place for the responses of a call's attempts.
type clientReply struct {
	to    any
	given *reflect.Value // a shallow copy of the caller's reply if it cannot be reset; nil: none
}

func replyTo(to any) clientReply {
	r := clientReply{to: to}

	switch to.(type) {
	case nil, proto.Message, interface{ Reset() }:
		return r
	}

	if v := reflect.ValueOf(to); v.Kind() == reflect.Pointer && !v.IsNil() {
		given := reflect.New(v.Type().Elem()).Elem()
		given.Set(v.Elem())
		r.given = &given
	}

	return r
}

// empty clears the response of an earlier attempt, because some codecs merge into the reply. A reply that cannot be reset gets back the
// value that the caller gave: it may show its codec where to decode to.
func (r clientReply) empty() {
	switch m := r.to.(type) {
	case nil:
	case proto.Message:
		proto.Reset(m)
	case interface{ Reset() }:
		m.Reset()
	default:
		if r.given != nil {
			reflect.ValueOf(r.to).Elem().Set(*r.given)
		}
	}
}
