package consume

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAKeptMessageIsReadAsItWas(t *testing.T) {
	t.Parallel()

	for _, m := range []*Message{
		{},
		{Source: "s", ID: "i", Position: "p", Key: []byte("k"), Data: []byte("d"), Headers: map[string][]string{"A": {"1", ""}, "": {"x"}}},
	} {
		got, err := decodeMessage(encodeMessage(m))
		if diff := cmp.Diff(m, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{messageVersion, 0, 0, 0, 0, 0})
	f.Add([]byte{messageVersion, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(encodeMessage(&Message{ID: "i", Headers: map[string][]string{"A": {"1", "2"}}, Data: []byte("data")}))

	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMessage(data)
		if err != nil {
			return
		}

		again, err := decodeMessage(encodeMessage(m))
		if diff := cmp.Diff(m, again, cmpopts.EquateEmpty()); diff != "" && len(m.Headers) > 0 && err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
