package onlyonce

import (
	"reflect"
	"strconv"
	"testing"
)

// The runtime allocates objects in these sizes, and keeps 8 bytes of each object of more than 512 bytes for itself.
// Fresh memory costs a call more than most of its instructions.
func TestObjectsOfACallFitIntoObjectsOf704And576Bytes(t *testing.T) {
	t.Parallel()

	if strconv.IntSize < 64 {
		return // they are smaller
	}

	for object, most := range map[reflect.Type]uintptr{reflect.TypeFor[attempt](): 704 - 8, reflect.TypeFor[run](): 576 - 8} {
		if size := object.Size(); size > most {
			t.Errorf("a %v takes %d bytes, want at most %d", object, size, most)
		}
	}
}
