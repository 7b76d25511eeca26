package oncehttp

import (
	"net/http"
	"slices"
	"strings"
)

// heading is the header of an answer at the moment its status was written: first the fields that are recorded, in the order of their
// names, and then the others. It has no fields of the contract, because a handler may pass on those of another server.
type heading struct {
	fields   []field
	recorded int
}

// headingSpace is memory for the heading of a usual answer.
type headingSpace struct {
	fields [8]field
	values [12]string
}

// heading copies a header. The copy is in space, if it fits; nil is no space.
func (s headerSet) heading(h http.Header, space *headingSpace) heading {
	count := 0
	for _, values := range h {
		count += len(values)
	}

	var (
		copied heading
		values []string
	)

	if space != nil {
		copied.fields, values = space.fields[:0], space.values[:0]
	}

	if cap(values) < count {
		values = make([]string, 0, count)
	}

	for name, own := range h {
		if ofContract(name) {
			continue
		}

		first := len(values)
		values = append(values, own...)
		copied.fields = append(copied.fields, field{name, values[first:len(values):len(values)]})

		if s.has(name) {
			last := len(copied.fields) - 1
			copied.fields[copied.recorded], copied.fields[last] = copied.fields[last], copied.fields[copied.recorded]
			copied.recorded++
		}
	}

	slices.SortFunc(copied.fields[:copied.recorded], func(a, b field) int { return strings.Compare(a.name, b.name) })

	return copied
}

// get returns the values of a header.
func (h *heading) get(name string) []string {
	for _, f := range h.fields {
		if f.name == name {
			return f.values
		}
	}

	return nil
}

// add adds a header that the heading does not have, and that is not recorded.
func (h *heading) add(name, value string) {
	h.fields = append(h.fields, field{name, []string{value}})
}

// kept returns the fields that are recorded, and others nobody may append to.
func (h *heading) kept() []field { return h.fields[:h.recorded:h.recorded] }

// others returns the fields that are not recorded.
func (h *heading) others() []field { return h.fields[h.recorded:] }
