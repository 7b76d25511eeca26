package oncehttp

import (
	"bytes"
	"reflect"
	"testing"
)

func FuzzDecodePayload(f *testing.F) {
	whole := payload{
		kind: keptWhole, status: 201, header: []field{{"Content-Type", []string{"text/plain"}}, {"Link", []string{"a", "b"}}, {"Etag", nil}},
		trailer: []field{{"Digest", []string{""}}}, body: []byte("body"),
	}

	f.Add(whole.encode(0))
	f.Add((&payload{kind: keptNothing, status: 101}).encode(0))
	f.Add([]byte{})
	f.Add([]byte{2, 1, 0, 200, 0, 0})
	f.Add([]byte{1, 1, 0, 200, 0xff, 0xff, 0xff, 0xff, 0x0f})

	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePayload(data)
		if err != nil {
			return
		}

		again, err := decodePayload(p.encode(3)[3:])
		if err != nil || !reflect.DeepEqual(p, again) && len(p.body)+len(again.body) > 0 {
			t.Errorf("%+v is read as %+v, %v", p, again, err)
		}
	})
}

func TestEncodedAnswerHasNoCapacityToSpare(t *testing.T) {
	p := payload{kind: keptWhole, status: 200, header: []field{{"Content-Type", []string{"text/plain"}}}, body: bytes.Repeat([]byte("x"), 300)}

	if data := p.encode(7); len(data) != cap(data) {
		t.Errorf("length %d, capacity %d", len(data), cap(data))
	}
}
