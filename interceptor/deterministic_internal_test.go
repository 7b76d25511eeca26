package interceptor

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/onlyonce-go/onlyonce"
)

// mapped is a new message with a map of ten fields, which Go visits in another order nearly every time.
func mapped() *structpb.Struct {
	msg := &structpb.Struct{Fields: make(map[string]*structpb.Value)}
	for i := range 10 {
		msg.Fields[fmt.Sprintf("field-%d", i)] = structpb.NewNumberValue(float64(i))
	}

	return msg
}

func TestMapsOfKeptAndComparedMessagesHaveAlwaysTheSameBytes(t *testing.T) {
	t.Parallel()

	encodings := map[string]func() ([]byte, error){
		"a kept request": func() ([]byte, error) {
			c := serverCall{method: &method{policy: onlyonce.Policy{KeepRequest: 1_000}}}
			err := c.keepRequest(mapped())

			return c.call.Request, err
		},
		"an answer of shadow mode": func() ([]byte, error) { return encodeShadow(7, nil, mapped()) },
	}

	for name, encode := range encodings {
		first, err := encode()
		if err != nil || len(first) < proto.Size(mapped()) {
			t.Errorf("%s: %d bytes, %v", name, len(first), err)
		}

		for range 50 {
			if again, err := encode(); err != nil || !bytes.Equal(again, first) {
				t.Fatalf("%s has other bytes when it is encoded again, %v", name, err)
			}
		}
	}
}
