package interceptor

import (
	"reflect"

	"google.golang.org/protobuf/proto"
)

// clientReply is where the attempts of a call put their responses.
type clientReply struct {
	to    any
	given *reflect.Value // a shallow copy of a reply that cannot be reset, as the caller gave it; nil: none
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

// empty removes what an earlier attempt has left in the reply: some codecs merge into it. A reply that cannot be reset becomes what the
// caller gave, because it may tell its codec where to decode to.
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
