package oncehttp

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
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

func FuzzDecodeRequest(f *testing.F) {
	sent := httptest.NewRequest(http.MethodPost, "/payments?currency=EUR", http.NoBody)
	sent.Header = http.Header{"Content-Type": {"text/plain"}, "Tenant": {"a", ""}}

	f.Add(encodeRequest(sent, []string{"Content-Type", "Tenant"}, []byte("body")))
	f.Add(encodeRequest(sent, nil, nil))
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})

	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRequest(data)
		if err != nil {
			return
		}

		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength || !bytes.HasSuffix(data, body) {
			t.Errorf("the body is %q of %d, %v", body, r.ContentLength, err)
		}

		again, err := decodeRequest(encodeRequest(r, slices.Collect(maps.Keys(r.Header)), body))
		if err != nil || again.Method != r.Method || again.RequestURI != r.URL.RequestURI() || again.Host != r.Host {
			t.Errorf("%s %q of %q is read as %+v, %v", r.Method, r.URL, r.Host, again, err)
		}
	})
}

func FuzzDecodeJournaled(f *testing.F) {
	sent := httptest.NewRequest(http.MethodPost, "https://shop.test/payments?currency=EUR", http.NoBody)
	sent.Header = http.Header{"Content-Type": {"text/plain"}, "Tenant": {"a", ""}}

	f.Add(encodeJournaled(sent, newHeaderSet("Content-Type", "Tenant"), []byte("body")))
	f.Add(encodeJournaled(sent, newHeaderSet(), nil))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1, ':', 0, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})

	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeJournaled(t.Context(), data)
		if err != nil {
			return
		}

		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength || !bytes.HasSuffix(data, body) {
			t.Errorf("the body is %q of %d, %v", body, r.ContentLength, err)
		}

		r.URL.User = nil

		again, err := decodeJournaled(t.Context(), encodeJournaled(r, newHeaderSet(slices.Collect(maps.Keys(r.Header))...), body))
		if err != nil || again.Method != r.Method || again.URL.String() != r.URL.String() || again.Host != r.Host {
			t.Errorf("%s %q of %q is read as %+v, %v", r.Method, r.URL, r.Host, again, err)
		}
	})
}
