package fingerprint

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// run is what a canonical form has of one field, where all occurrences are side by side.
type run struct {
	number     protowire.Number
	start, end int
}

// inOrder puts the fields of a message in the order of their numbers, and forgets its runs. Most often they are in order: the
// encoder writes known fields so. It puts unknown ones last, and in messages that are made at run time members of oneofs.
// Occurrences of one field keep their order. The message begins at start, its runs at begin.
func (w *work) inOrder(form []byte, start, begin int, ordered bool) []byte {
	runs := w.runs[begin:]
	w.runs = w.runs[:begin]

	if ordered {
		return form
	}

	for i := range runs {
		runs[i].end = len(form)
		if i+1 < len(runs) {
			runs[i].end = runs[i+1].start
		}
	}

	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.start, b.start))
	})

	jumbled := slices.Clone(form[start:])
	form = form[:start]

	for _, r := range runs {
		form = append(form, jumbled[r.start-start:r.end-start]...)
	}

	return form
}
