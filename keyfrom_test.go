package onlyonce_test

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce"
)

func TestKeysFromPartsAreThoseOfTheVectors(t *testing.T) {
	t.Parallel()

	type vector struct {
		Name, Key string
		Parts     []string
	}

	for _, v := range readVectors[vector](t, "key-from.json") {
		key, err := onlyonce.KeyFrom(v.Parts...)
		if err != nil || key != v.Key {
			t.Errorf("%s: KeyFrom(%q) = %q, %v; want %q", v.Name, v.Parts, key, err, v.Key)
		}

		if len(v.Key) < onlyonce.MaxKeyLength && !slices.Equal(partsOf(v.Key), v.Parts) {
			t.Errorf("%s: %q is made of %q, want %q", v.Name, v.Key, partsOf(v.Key), v.Parts)
		}
	}
}

func TestKeyFromNeedsAllItsParts(t *testing.T) {
	t.Parallel()

	for _, parts := range [][]string{nil, {""}, {"order", ""}, {"", "order"}} {
		if key, err := onlyonce.KeyFrom(parts...); key != "" || err == nil {
			t.Errorf("KeyFrom(%q) = %q, %v", parts, key, err)
		}
	}
}

// partsOf reads a key that has no digest.
func partsOf(key string) []string {
	var (
		escape = regexp.MustCompile(`^--[0-9a-f]{2}`)
		shapes = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(-|$)`)
		parts  []string
		part   strings.Builder
	)

	for fresh := true; key != ""; {
		if shape := shapes.FindString(key); fresh && shape != "" {
			shape = strings.TrimSuffix(shape, "-")

			if rest := key[len(shape):]; !escape.MatchString(rest) { // an escape continues the part, which then has no such shape
				part.WriteString(shape)

				key = rest
			}
		}

		fresh = false

		switch {
		case escape.MatchString(key):
			c, _ := hex.DecodeString(key[2:4])
			part.Write(c)

			key = key[4:]
		case strings.HasPrefix(key, "-"):
			parts = append(parts, part.String())
			part.Reset()

			key, fresh = key[1:], true
		case key != "":
			part.WriteByte(key[0])

			key = key[1:]
		}
	}

	return append(parts, part.String())
}

func FuzzKeysFromPartsDiffer(f *testing.F) {
	for _, seed := range [][2]string{
		{"a-b\nc", "a\nb-c"},
		{"fortune\n2025-01-15\nprf_abc123\ndaily", "fortune\n2025\n01\n15\nprf_abc123\ndaily"},
		{"2025\n2025-01-15", "2025\n2025\n01\n15"},
		{"2025-01-15\n-", "2025-01-15-"},
		{"a--2d", "a-"},
		{"0197f2c4-5b1e-7a33-8f10-2b9c6d0e1f42", "0197f2c4\n5b1e\n7a33\n8f10\n2b9c6d0e1f42"},
		{strings.Repeat("k", 300), strings.Repeat("k", 299)},
		{strings.Repeat("-", 60) + "\n\xff", "치즈\n\x00"},
	} {
		f.Add(seed[0], seed[1])
	}

	f.Fuzz(func(t *testing.T, first, second string) {
		one, other := strings.Split(first, "\n"), strings.Split(second, "\n")

		key, err := onlyonce.KeyFrom(one...)
		if (err != nil) != slices.Contains(one, "") {
			t.Fatalf("KeyFrom(%q) = %q, %v", one, key, err)
		}

		if err != nil {
			return
		}

		if err := (onlyonce.KeyRules{}).Check(key); err != nil {
			t.Errorf("KeyFrom(%q): %v", one, err)
		}

		// Exactly the keys that were cut carry the mark of a digest.
		if strings.Contains(key, "--x") != (len(key) == onlyonce.MaxKeyLength && strings.Contains(key[200:], "--x")) {
			t.Errorf("KeyFrom(%q) = %q, which looks like a digest", one, key)
		} else if !strings.Contains(key, "--x") && !slices.Equal(partsOf(key), one) {
			t.Errorf("KeyFrom(%q) = %q, which is made of %q", one, key, partsOf(key))
		}

		if same, err := onlyonce.KeyFrom(other...); err == nil && (key == same) != slices.Equal(one, other) {
			t.Errorf("KeyFrom(%q) = %q and KeyFrom(%q) = %q", one, key, other, same)
		}
	})
}
