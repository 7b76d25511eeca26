package oncehttp

import "testing"

// An answer to a HEAD may belong to a body that is too large for the memory.
func TestOfTheAnswerToAHeadOnlyTheBytesForItsTypeAreKept(t *testing.T) {
	w := recorder{head: true, declared: -1}

	for range 10 {
		if n, err := w.Write(make([]byte, sniffed-1)); n != sniffed-1 || err != nil {
			t.Fatal(n, err)
		}
	}

	if len(w.body) != sniffed || w.written != 10*(sniffed-1) {
		t.Errorf("%d bytes are kept of %d", len(w.body), w.written)
	}
}
