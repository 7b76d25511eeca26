package memstore

import (
	"testing"
	"unsafe"
)

// A name may be a part of a much longer text, such as a path from a caller.
func TestNameDoesNotKeepTheTextThatItWasCutFrom(t *testing.T) {
	t.Parallel()

	var n names

	long := "/service/Method?and=much+more"
	number := n.take(long[:len("/service/Method")])

	if got := n.text(number); got != "/service/Method" || unsafe.StringData(got) == unsafe.StringData(long) {
		t.Errorf("the name %q is not a copy", got)
	}
}
