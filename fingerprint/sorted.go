package fingerprint

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A run is a part of a canonical form: adjacent occurrences of one field. Only the sizes of runs are stored, as varints: at most one byte
// for two bytes of the form.

// ended stores the size of a run.
func (w *work) ended(size int) {
	if size < 1<<7 { // nearly always
		w.sizes = append(w.sizes, byte(size)) //nolint:gosec // it fits

		return
	}

	w.sizes = protowire.AppendVarint(w.sizes, uint64(size))
}

// sort sorts the runs of a message by field number, in place. Runs of one number keep their order. Most messages are sorted already,
// because the encoder sorts known fields. It writes unknown fields last. In messages that are made at run time, it also writes members of
// oneofs last.
//
// It is a radix sort: the runs move between two buffers, sorted by one digit of their numbers after the other, the lowest first. So time
// and memory are linear in the size of the form, however many runs there are.
func (w *work) sort(all pieces, highest protowire.Number) {
	content, sizes := len(all.content), len(all.sizes)
	w.spare = slices.Grow(w.spare[:0], content+sizes)[:content+sizes]

	from, to := all, pieces{w.spare[:content], w.spare[content:]}

	if sizes <= few {
		from.sortFew(to.content[:0])

		from = to
	} else {
		for digit := 0; highest>>digit != 0; digit += digitBits {
			if from.distribute(to, digit) {
				from, to = to, from
			}
		}
	}

	copy(all.content, from.content)
}

// pieces are runs and their sizes.
type pieces struct{ content, sizes []byte }

// few runs are sorted faster by comparing their numbers.
const few = 16

// sortFew appends at most few runs in the order of their numbers.
func (p pieces) sortFew(sorted []byte) {
	type run struct {
		number  protowire.Number
		content []byte
	}

	var room [few]run

	runs := room[:0]

	for c, s := 0, 0; s < len(p.sizes); {
		number, size, width := p.run(c, s)
		runs = append(runs, run{number, p.content[c : c+size]})
		c, s = c+size, s+width
	}

	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.number, b.number) })

	for _, r := range runs {
		sorted = append(sorted, r.content...)
	}
}

const (
	digitBits = 4
	digitMask = 1<<digitBits - 1
)

// distribute copies the runs, sorted by one digit of their numbers. It copies nothing and returns false if all have the same digit.
func (p pieces) distribute(to pieces, digit int) bool {
	var at [digitMask + 1]struct{ content, sizes int }

	for c, s := 0, 0; s < len(p.sizes); {
		number, size, width := p.run(c, s)
		value := number >> digit & digitMask
		at[value].content += size
		at[value].sizes += width
		c, s = c+size, s+width
	}

	content, sizes := 0, 0

	for i := range at {
		if at[i].content == len(p.content) {
			return false
		}

		at[i].content, content = content, content+at[i].content
		at[i].sizes, sizes = sizes, sizes+at[i].sizes
	}

	for c, s := 0, 0; s < len(p.sizes); {
		number, size, width := p.run(c, s)
		value := number >> digit & digitMask
		at[value].content += copy(to.content[at[value].content:], p.content[c:c+size])
		at[value].sizes += copy(to.sizes[at[value].sizes:], p.sizes[s:s+width])
		c, s = c+size, s+width
	}

	return true
}

// run reads the run at a place: its number, its size, and the width of that size. An empty run has no number.
func (p pieces) run(content, sizes int) (number protowire.Number, size, width int) {
	n, width := protowire.ConsumeVarint(p.sizes[sizes:])
	if n > 0 {
		number, _, _ = protowire.ConsumeTag(p.content[content:])
	}

	return number, int(n), width //nolint:gosec // a length
}
