package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func fuzzRing(tb testing.TB) *StaticKeys {
	tb.Helper()

	key, err := NewSealKey("2026-11", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		tb.Fatal(err)
	}

	ring, err := NewStaticKeys(key)
	if err != nil {
		tb.Fatal(err)
	}

	return ring
}

var goldenPlace = place{Key{1, 2, 3}, Token{4, 5, 6}, ownersOutcome}

// The records of every store contain these bytes. A later build has to read them, and to seal a repeat the same way. A
// second implementation computed them from the description of the form: Python with the package cryptography.
func TestTheSealedFormStaysAsItIs(t *testing.T) {
	t.Parallel()

	ring := fuzzRing(t)

	for want, at := range map[string]place{
		"f5534c0107323032362d3131d13612430ed6f560db64811cb587fa6b61227cbaad5cb79522d27b397f5153f9": goldenPlace,
		"f5534c0107323032362d313101b5e7df861b69e26dfc7758e21dd438f78fcc40e1730406ebb8d375e7c56519": {Key{1, 2, 3}, Token{4, 5, 6}, noteOfClaim},
	} {
		text, err := ring.newest.seal(at, []byte("paid"))
		if got := hex.EncodeToString(text); err != nil || got != want {
			t.Errorf("kind %d is sealed as %s, want %s: %v", at.kind, got, want, err)
		}

		if plain, err := open(t.Context(), ring, at, text); err != nil || string(plain) != "paid" {
			t.Errorf("kind %d is read as %q, %v", at.kind, plain, err)
		}
	}

	if got, want := ring.newest.HashKey("order-7"), "2026-11:781d25a48cc19cd73dcb7632cdd127c6"; got != want {
		t.Errorf("a readable key is hashed as %s, want %s", got, want)
	}
}

func TestASealedTextOfANewerVersionIsNewer(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]error{
		"\xf5SL\x02":         ErrNewer,
		"\xf5SL\xff what it": ErrNewer,
		"\xf5SL\x00":         ErrUnreadable,
		"\xf5SL\x01":         ErrUnreadable,
		"\xf5SL":             ErrUnreadable,
		"\xf5S":              ErrUnreadable,
		"":                   ErrUnreadable,
		"\xf5SL\x01\x00":     ErrUnreadable,
		"\xf5SL\x01\x00............................":  ErrUnreadable, // no id
		"\xf5SL\x01\xff............................":  ErrUnreadable, // the id is longer than the text
		"\xf5SL\x01\x01:...........................":  ErrUnreadable, // no valid id
		"\xf5SL\x01\x01z...........................":  ErrUnreadable, // one byte too short
		"\xf5SL\x01\x01z............................": ErrNoKey,
	} {
		if plain, err := open(t.Context(), fuzzRing(t), goldenPlace, []byte(text)); !errors.Is(err, want) || plain != nil {
			t.Errorf("%q: %q, %v, want %v", text, plain, err, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring := fuzzRing(f)

	sealed, err := ring.newest.seal(goldenPlace, []byte("paid"))
	if err != nil {
		f.Fatal(err)
	}

	f.Add([]byte(nil), uint(0))
	f.Add([]byte("paid"), uint(7))
	f.Add(sealed, uint(40))
	f.Add(sealed[:len(sealed)-1], uint(0))
	f.Add([]byte("\xf5SL\x01\x01z............................"), uint(1))

	f.Fuzz(func(t *testing.T, text []byte, bit uint) {
		// Any other bytes than those sealed here are refused.
		plain, err := open(t.Context(), ring, goldenPlace, text)
		if err == nil {
			if again, _ := ring.newest.seal(goldenPlace, plain); !bytes.Equal(again, text) {
				t.Errorf("%x is read as %x, which is sealed as %x", text, plain, again)
			}
		} else if plain != nil || !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrNewer) {
			t.Errorf("%x: %x, %v", text, plain, err)
		}

		// The same bytes as a text survive, F37 in a bounded length, and no flipped bit does.
		sealed, err := ring.newest.seal(goldenPlace, text)
		if err != nil || len(sealed) != len(text)+33+len(ring.newest.id) {
			t.Fatalf("%d bytes are sealed in %d, %v", len(text), len(sealed), err)
		}

		if got, err := open(t.Context(), ring, goldenPlace, sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%x is read as %x, %v", text, got, err)
		}

		bit %= uint(len(sealed)) * 8
		sealed[bit/8] ^= 1 << (bit % 8)

		if got, err := open(t.Context(), ring, goldenPlace, sealed); err == nil {
			t.Errorf("with bit %d flipped %x is read as %x", bit, text, got)
		}
	})
}

// AES-GCM does not forgive a nonce that two texts share.
func TestTwoTextsOfARunShareNoNonce(t *testing.T) {
	t.Parallel()

	key := fuzzRing(t).newest
	nonces := make(map[string]bool)

	for kind := range foundOutcome {
		for _, plain := range []string{"", "p", "paid", "paie"} {
			text, err := key.seal(place{Key{1}, Token{2}, kind}, []byte(plain))
			if err != nil {
				t.Fatal(err)
			}

			nonce := string(text[sealedHeader+len(key.id):][:nonceSize])
			if nonces[nonce] {
				t.Errorf("kind %d, %q: another text has the same nonce", kind, plain)
			}

			nonces[nonce] = true
		}
	}
}
