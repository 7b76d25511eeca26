package onlyonce

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/store"
)

func outcomesOfEveryShape() []storedOutcome {
	return []storedOutcome{
		{kind: kindAnswer},
		{kind: kindAnswer, code: "OK", body: []byte("paid")},
		{kind: kindAnswer, code: "OK", body: bytes.Repeat([]byte{0xff}, 10_000)},
		{kind: kindAnswer, code: strings.Repeat("c", 255), body: []byte{0}},
		{kind: kindNotStored, code: "NOT_FOUND"},
		{kind: kindNote, code: "PANIC"},
	}
}

func TestStoredOutcomeIsReadBackAsItWas(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}

	for _, want := range outcomesOfEveryShape() {
		got, err := decodeOutcome(&key, want.encode(&key))
		if err != nil || got.kind != want.kind || got.code != want.code || !bytes.Equal(got.body, want.body) {
			t.Errorf("%d %q: got %+v, %v", want.kind, want.code, got, err)
		}
	}
}

func TestStoredOutcomeKeepsTheStartOfALongCode(t *testing.T) {
	t.Parallel()

	key := store.Key{}
	long := storedOutcome{kind: kindAnswer, code: strings.Repeat("c", 300), body: []byte("body")}

	if got, err := decodeOutcome(&key, long.encode(&key)); err != nil || got.code != long.code[:255] || string(got.body) != "body" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestF36EveryFlippedBitOfAStoredOutcomeIsNoticed(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}

	for _, out := range outcomesOfEveryShape() {
		data := out.encode(&key)
		if len(data) > 1_000 {
			data = data[:0:0]
		}

		for bit := range len(data) * 8 {
			data[bit/8] ^= 1 << (bit % 8)

			if got, err := decodeOutcome(&key, data); !errors.Is(err, store.ErrUnreadable) {
				t.Fatalf("bit %d of %q: got %+v, %v", bit, out.code, got, err)
			}

			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestF36EveryOtherKeyIsNoticed(t *testing.T) {
	t.Parallel()

	key := store.Key{1, 2, 3}
	out := storedOutcome{kind: kindAnswer, code: "OK", body: []byte("paid")}
	data := out.encode(&key)

	for bit := range len(key) * 8 {
		other := key
		other[bit/8] ^= 1 << (bit % 8)

		if _, err := decodeOutcome(&other, data); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("bit %d of the key: %v", bit, err)
		}
	}
}

// forged gives data a checksum that fits, as another build or a bug would.
func forged(key *store.Key, data []byte) []byte {
	binary.BigEndian.PutUint32(data[checksumStart:], outcomeChecksum(key, data))

	return data
}

func TestF39OutcomeOfANewerFormatIsNewerAndNotDamaged(t *testing.T) {
	t.Parallel()

	key := store.Key{7}

	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"next format":              {[]byte{2, 1, 0, 0, 0, 0, 0}, store.ErrNewer},
		"far format, unknown kind": {[]byte{255, 99, 0, 0, 0, 0, 200, 1, 2}, store.ErrNewer},
		"format zero":              {[]byte{0, 1, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"kind zero":                {[]byte{1, 0, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"unknown kind":             {[]byte{1, 4, 0, 0, 0, 0, 0}, store.ErrUnreadable},
		"code longer than data":    {[]byte{1, 1, 0, 0, 0, 0, 3, 'O', 'K'}, store.ErrUnreadable},
	} {
		if _, err := decodeOutcome(&key, forged(&key, tt.data)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestF36CompletedRecordThatHoldsANoteIsUnreadable(t *testing.T) {
	t.Parallel()

	x := &execution{engine: new(Engine), call: new(Call)}
	note := storedOutcome{kind: kindNote, code: "PANIC"}

	_, err := x.answerFrom(&store.Record{State: store.Completed, Outcome: note.encode(&x.key)})
	if !errors.Is(err, ReasonRecordUnreadable) {
		t.Errorf("got %v, want an unreadable record", err)
	}
}

func FuzzDecodeOutcome(f *testing.F) {
	key := store.Key{1, 2, 3}

	for _, out := range outcomesOfEveryShape() {
		if data := out.encode(&key); len(data) < 1_000 {
			f.Add(data, uint(13))
			f.Add(data[:len(data)-1], uint(0))
		}
	}

	f.Add([]byte(nil), uint(0))
	f.Add(forged(&key, []byte{1, 1, 0, 0, 0, 0, 255}), uint(3))

	f.Fuzz(func(t *testing.T, data []byte, bit uint) {
		// Whatever the bytes are, they are refused or read back as they were written.
		if out, err := decodeOutcome(&key, data); err == nil {
			if !bytes.Equal(out.encode(&key), data) {
				t.Errorf("%x is read as %+v and written as %x", data, out, out.encode(&key))
			}
		} else if !errors.Is(err, store.ErrUnreadable) && !errors.Is(err, store.ErrNewer) {
			t.Errorf("%x: %v", data, err)
		}

		// The same bytes as a body survive, and no flipped bit does.
		in := storedOutcome{kind: kindAnswer, code: "OK", body: data}
		stored := in.encode(&key)

		out, err := decodeOutcome(&key, stored)
		if err != nil || out.kind != in.kind || out.code != in.code || !bytes.Equal(out.body, in.body) {
			t.Errorf("%+v is read as %+v, %v", in, out, err)
		}

		bit %= uint(len(stored)) * 8
		stored[bit/8] ^= 1 << (bit % 8)

		if out, err := decodeOutcome(&key, stored); err == nil {
			t.Errorf("with bit %d flipped it is read as %+v", bit, out)
		}

		if len(data) >= outcomeHeader {
			_, _ = decodeOutcome(&key, forged(&key, bytes.Clone(data))) // must not panic
		}
	})
}
