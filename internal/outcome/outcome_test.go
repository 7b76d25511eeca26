package outcome

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/onlyonce-go/onlyonce/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ofEveryShape() []Stored {
	return []Stored{
		{Kind: KindAnswer},
		{Kind: KindAnswer, Code: "OK", Body: []byte("paid")},
		{Kind: KindAnswer, Code: "OK", Body: bytes.Repeat([]byte{0xff}, 10_000)},
		{Kind: KindAnswer, Code: strings.Repeat("c", 255), Body: []byte{0}},
		{Kind: KindAnswer, Code: "NO", Body: []byte("as long as OK")},
		{Kind: KindNotStored, Code: "NOT_FOUND"},
		{Kind: KindNote, Code: "PANIC"},
		{Kind: KindAnswer, Attached: Attached{Trace: trace}},
		{Kind: KindAnswer, Code: "OK", Body: []byte("paid"), Attached: Attached{Trace: trace, SettledBy: "ann", Reason: "the bank said so"}},
		{Kind: KindNote, Code: "PANIC", Attached: Attached{Request: []byte("10 EUR"), Trace: trace}},
		{Kind: KindNotStored, Code: "OK", Attached: Attached{Reason: "r"}},
		{Kind: KindClaim, Attached: Attached{Request: []byte{0}}},
		{Kind: KindResolution, Attached: Attached{SettledBy: strings.Repeat("w", MaxText), Reason: strings.Repeat("y", MaxText)}},
	}
}

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func same(a, b *Stored) bool {
	return a.Kind == b.Kind && a.Code == b.Code && bytes.Equal(a.Body, b.Body) && bytes.Equal(a.Request, b.Request) &&
		a.Trace == b.Trace && a.SettledBy == b.SettledBy && a.Reason == b.Reason
}

func TestStoredOutcomeIsReadBackAsItWas(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}

	for _, want := range ofEveryShape() {
		got, err := Decode(&key, want.Encode(&key))
		if err != nil || !same(&got, &want) {
			t.Errorf("%d %q: got %+v, %v", want.Kind, want.Code, got, err)
		}
	}
}

func TestStoredOutcomeKeepsTheStartOfALongCode(t *testing.T) {
	t.Parallel()

	key := store.Key{}
	long := Stored{Kind: KindAnswer, Code: strings.Repeat("c", 300), Body: []byte("body")}

	if got, err := Decode(&key, long.Encode(&key)); err != nil || got.Code != long.Code[:255] || string(got.Body) != "body" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestF36EveryFlippedBitOfAStoredOutcomeIsNoticed(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}

	for _, out := range ofEveryShape() {
		data := out.Encode(&key)
		if len(data) > 1_000 {
			data = data[:0:0]
		}

		for bit := range len(data) * 8 {
			data[bit/8] ^= 1 << (bit % 8)

			if got, err := Decode(&key, data); !errors.Is(err, store.ErrUnreadable) {
				t.Fatalf("bit %d of %q: got %+v, %v", bit, out.Code, got, err)
			}

			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestF36EveryOtherKeyIsNoticed(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}
	out := Stored{Kind: KindAnswer, Code: "OK", Body: []byte("paid")}
	data := out.Encode(&key)

	for bit := range len(key) * 8 {
		other := key
		other[bit/8] ^= 1 << (bit % 8)

		if _, err := Decode(&other, data); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("bit %d of the key: %v", bit, err)
		}
	}
}

// forged gives data a checksum that fits, as another build or a bug would.
func forged(key *store.Key, data []byte) []byte {
	binary.BigEndian.PutUint32(data[checksumStart:], checksum(key, data))

	return data
}

func TestF39OutcomeOfANewerFormatIsNewerAndNotDamaged(t *testing.T) {
	t.Parallel()

	key := store.Key{7}

	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"next format":              {[]byte{3, 1, 0, 0, 0, 0, 0}, store.ErrNewer},
		"far format, unknown kind": {[]byte{255, 99, 0, 0, 0, 0, 200, 1, 2}, store.ErrNewer},
		"format zero":              {[]byte{0, 1, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"kind zero":                {[]byte{1, 0, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"unknown kind":             {[]byte{1, 4, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"a kind of format 2":       {[]byte{1, 4, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"format 2, unknown kind":   {[]byte{2, 6, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 't', 0, 0, 0, 6}, store.ErrUnreadable},
		"no attachments":           {[]byte{2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"no end":                   {[]byte{2, 1, 0, 0, 0, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"attachments too long":     {[]byte{2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 't', 0, 0, 0, 7}, store.ErrUnreadable},
		"endless attachments":      {[]byte{2, 1, 0, 0, 0, 0, 0, 255, 255, 255, 255}, store.ErrUnreadable},
		"half an attachment":       {[]byte{2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4}, store.ErrUnreadable},
		"empty attachment":         {[]byte{2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5}, store.ErrUnreadable},
		"unknown tag":              {[]byte{2, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 't', 0, 0, 0, 6}, store.ErrUnreadable},
		"the same tag twice": {
			[]byte{2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 't', 2, 0, 0, 0, 1, 't', 0, 0, 0, 12}, store.ErrUnreadable,
		},
		"text too long": {
			append(append([]byte{2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0}, make([]byte, 256)...), 0, 0, 1, 5), store.ErrUnreadable,
		},
		"code longer than data": {[]byte{1, 1, 0, 0, 0, 0, 3, 'O', 'K'}, store.ErrUnreadable},
	} {
		if _, err := Decode(&key, forged(&key, tt.data)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestAnswerThatIsTooLargeIsStoredWithoutItsBody(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}

	for size, want := range map[int]Kind{0: KindAnswer, 9: KindAnswer, 10: KindAnswer, 11: KindNotStored} {
		got, err := Decode(&key, Answer(&key, "OK", make([]byte, size), 0, 10, nil))
		if err != nil || got.Kind != want || got.Code != "OK" {
			t.Errorf("%d bytes of at most 10: got %+v, %v", size, got, err)
		}

		if want == KindAnswer && len(got.Body) != size || want == KindNotStored && len(got.Body) != 0 {
			t.Errorf("%d bytes of at most 10: %d were kept", size, len(got.Body))
		}
	}
}

// The bytes of format 1 stand in the records of every store. A later build has to read them.
func TestStoredFormatStaysAsItIs(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}
	golden := map[string]Stored{
		"0101d9e3ee70024f4b70616964": {Kind: KindAnswer, Code: "OK", Body: []byte("paid")},
		"0102925d3cca024f4b":         {Kind: KindNotStored, Code: "OK"},
		"01036e90d1d10550414e4943":   {Kind: KindNote, Code: "PANIC"},
		"0201c8608bfd024f4b70616964020000000430302d310300000003616e6e04000000047365656e0000001a": {
			Kind: KindAnswer, Code: "OK", Body: []byte("paid"), Attached: Attached{Trace: "00-1", SettledBy: "ann", Reason: "seen"},
		},
		"0204a2cfd194000100000006313020455552020000000430302d3100000014": {
			Kind: KindClaim, Attached: Attached{Request: []byte("10 EUR"), Trace: "00-1"},
		},
		"02052c8f90a1000300000003616e6e00000008": {Kind: KindResolution, Attached: Attached{SettledBy: "ann"}},
	}

	for want, out := range golden {
		if got := hex.EncodeToString(out.Encode(&key)); got != want {
			t.Errorf("%+v is stored as %s, want %s", out, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	key := store.Key{1, 2, 3}

	for _, out := range ofEveryShape() {
		if data := out.Encode(&key); len(data) < 1_000 {
			f.Add(data, uint(13))
			f.Add(data[:len(data)-1], uint(0))
		}
	}

	f.Add([]byte(nil), uint(0))
	f.Add(forged(&key, []byte{2, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 't', 0, 0, 0, 6}), uint(3))
	f.Add(forged(&key, []byte{1, 1, 0, 0, 0, 0, 255}), uint(3))

	f.Fuzz(func(t *testing.T, data []byte, bit uint) {
		// Whatever the bytes are, they are refused or read back as they were written.
		if out, err := Decode(&key, data); err == nil {
			if !bytes.Equal(out.Encode(&key), data) {
				t.Errorf("%x is read as %+v and written as %x", data, out, out.Encode(&key))
			}
		} else if !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
			t.Errorf("%x: %v", data, err)
		}

		// The same bytes as a body survive, and no flipped bit does.
		in := Stored{Kind: KindAnswer, Code: "OK", Body: data}
		stored := in.Encode(&key)

		out, err := Decode(&key, stored)
		if err != nil || !same(&out, &in) {
			t.Errorf("%+v is read as %+v, %v", in, out, err)
		}

		in.Attached = Attached{Request: data, Trace: string(data[:min(len(data), MaxText)])}

		out, err = Decode(&key, in.Encode(&key))
		if err != nil || !same(&out, &in) {
			t.Errorf("%+v is read as %+v, %v", in, out, err)
		}

		bit %= uint(len(stored)) * 8
		stored[bit/8] ^= 1 << (bit % 8)

		if out, err := Decode(&key, stored); err == nil {
			t.Errorf("with bit %d flipped it is read as %+v", bit, out)
		}

		if len(data) >= header {
			// What another build has written is refused or read back, too.
			other := forged(&key, bytes.Clone(data))
			if out, err := Decode(&key, other); err == nil && !bytes.Equal(out.Encode(&key), other) {
				t.Errorf("%x is read as %+v and written as %x", other, out, out.Encode(&key))
			}
		}
	})
}

// What is made behind room for the header is not copied, and is the same.
func TestAnswerBehindItsRoomIsNotCopied(t *testing.T) {
	t.Parallel()

	key := store.Key{7}

	for _, code := range []string{"", "OK", strings.Repeat("c", 255), strings.Repeat("c", 300)} {
		body := []byte("body")
		want := (&Stored{Kind: KindAnswer, Code: code, Body: body}).Encode(&key)

		for first := range Room(code) + 2 {
			data := append(bytes.Repeat([]byte{0xFF}, first), body...)

			got := Answer(&key, code, data, first, len(body), nil)
			if !bytes.Equal(got, want) {
				t.Fatalf("code %q behind %d bytes: got %q, want %q", code, first, got, want)
			}

			if same := &got[0] == &data[0]; same != (first == Room(code)) {
				t.Errorf("code %q behind %d bytes: it is the same memory: %v", code, first, same)
			}

			if out, err := Decode(&key, Answer(&key, code, data, first, len(body)-1, nil)); err != nil || out.Kind != KindNotStored {
				t.Errorf("code %q behind %d bytes, too large: kind %d, %v", code, first, out.Kind, err)
			}
		}

		for _, wrong := range []int{-1, len(body) + 1, Room(code)} {
			if out, err := Decode(&key, Answer(&key, code, body, wrong, 10, nil)); err != nil || out.Kind != KindAnswer {
				t.Errorf("code %q behind %d bytes of %d: kind %d, %v", code, wrong, len(body), out.Kind, err)
			}
		}
	}
}

func TestF37AttachmentsAreBounded(t *testing.T) {
	t.Parallel()

	key := store.Key{7}
	most := Stored{Kind: KindClaim, Attached: Attached{Request: make([]byte, MaxRequest), Trace: strings.Repeat("t", 300)}}

	got, err := Decode(&key, most.Encode(&key))
	if err != nil || len(got.Request) != MaxRequest || len(got.Trace) != MaxText {
		t.Errorf("got a request of %d bytes and a trace of %d, %v", len(got.Request), len(got.Trace), err)
	}

	most.Request = make([]byte, MaxRequest+1)

	got, err = Decode(&key, most.Encode(&key))
	if err != nil || got.Request != nil || len(got.Trace) != MaxText {
		t.Errorf("of a request that is too long %d bytes were kept, %v", len(got.Request), err)
	}
}

// The answer of a call with a trace is copied once, and has both.
func TestAnswerWithAttachmentsIsAsEncoded(t *testing.T) {
	t.Parallel()

	key := store.Key{7}
	want := Stored{Kind: KindAnswer, Code: "OK", Body: []byte("body"), Attached: Attached{Trace: trace}}
	room := Room("OK")

	for _, first := range []int{0, room} {
		data := append(make([]byte, first), want.Body...)
		if got := Answer(&key, "OK", data, first, 4, &want.Attached); !bytes.Equal(got, want.Encode(&key)) {
			t.Errorf("behind %d bytes: got %x", first, got)
		}
	}

	got, err := Decode(&key, Answer(&key, "OK", want.Body, 0, 3, &want.Attached))
	if err != nil || got.Kind != KindNotStored || got.Trace != trace || len(got.Body) != 0 {
		t.Errorf("too large: got %+v, %v", got, err)
	}
}
