package oncehttp

import (
	"net/http"
	"slices"
	"testing"
)

func TestRecordedFieldsAreInTheOrderOfTheirNames(t *testing.T) {
	h := http.Header{StatusHeader: {"executed"}, "X-Other": {"1"}}
	for _, name := range recordedByDefault() {
		h[name] = []string{"a", "b"}
	}

	copied := newHeaderSet(recordedByDefault()...).heading(h, new(headingSpace))
	h["Etag"][0] = "changed" // by a handler, where the value is

	names := make([]string, 0, len(copied.kept()))
	for _, f := range copied.kept() {
		names = append(names, f.name)

		if !slices.Equal(f.values, []string{"a", "b"}) {
			t.Errorf("%s is %q", f.name, f.values)
		}
	}

	if !slices.IsSorted(names) || len(names) != len(recordedByDefault()) {
		t.Errorf("%q", names)
	}

	if others := copied.others(); len(others) != 1 || others[0].name != "X-Other" {
		t.Errorf("%+v", others)
	}
}
