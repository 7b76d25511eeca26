package sqlstore

import "testing"

func TestTextIsPrintableAndReadBackAsItWas(t *testing.T) {
	t.Parallel()

	for s, want := range map[string]string{
		"": "", "order-7": "order-7", "50%": "50%25", "é": "%C3%A9", "a\x00b\n": "a%00b%0A", "\xff": "%FF", "~ {}'\"": "~ {}'\"",
	} {
		if got := escape(s); got != want {
			t.Errorf("%q is written as %q, must be %q", s, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("order-7", []byte("order-7"))
	f.Add("é%", []byte("%C3%A"))

	f.Fuzz(func(t *testing.T, s string, stored []byte) {
		written := escape(s)
		if got, err := unescape([]byte(written)); err != nil || got != s {
			t.Errorf("%q is written as %q and read as %q, %v", s, written, got, err)
		}

		for i := range len(written) {
			if written[i] < ' ' || written[i] > '~' {
				t.Errorf("%q is written as %q", s, written)
			}
		}

		// What can be read is what would have been written, so that no two texts mean the same.
		if got, err := unescape(stored); err == nil && escape(got) != string(stored) {
			t.Errorf("%q is read as %q, which is written as %q", stored, got, escape(got))
		}
	})
}
