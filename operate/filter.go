package operate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// DefaultLimit is the default of Filter.Limit: 1000 records.
const DefaultLimit = 1000

// Filter selects records. The zero value selects all records with an unknown outcome.
type Filter struct {
	// States are the selected states: StateUnknown, StateHeld, StateAbandoned or StateRunning. Empty means StateUnknown.
	States []State
	// Method is a pattern for the whole method name. * matches any characters, including a slash; ? matches one byte. Empty selects all
	// methods, and records without a method. A gRPC method may be without its first slash, as in metrics and alerts.
	Method string
	// Older selects records that have been in their state for at least this long. Zero selects all records, including those of unknown age.
	Older time.Duration
	// Limit is the maximum number of records to return. Zero means DefaultLimit.
	Limit int
}

// Validate returns all errors of the filter, joined, or nil.
func (f *Filter) Validate() error {
	var errs []error

	for _, state := range f.States {
		if !slices.Contains(listable(), state) {
			errs = append(errs, errState(state))
		}
	}

	if f.Older < 0 {
		errs = append(errs, fmt.Errorf("operate: filter: Older is %v: it must not be negative", f.Older))
	}

	if f.Limit < 0 {
		errs = append(errs, fmt.Errorf("operate: filter: Limit is %d: it must not be negative", f.Limit))
	}

	return errors.Join(errs...)
}

// Selects reports whether the filter selects a record. It does not apply Limit.
func (f *Filter) Selects(rec *onlyonce.Record) bool {
	state := StateOf(rec)

	return (f.wants(state) || rec.Unknown && f.wants(StateUnknown)) &&
		(f.Method == "" || matches(f.Method, rec.Method) || matches("/"+f.Method, rec.Method)) &&
		(f.Older == 0 || !Since(rec).IsZero() && Age(rec) >= f.Older)
}

func (f *Filter) wants(state State) bool {
	if len(f.States) == 0 {
		return state == StateUnknown
	}

	return slices.Contains(f.States, state)
}

// wantsUnknown reports whether the filter selects records with an unknown outcome.
func (f *Filter) wantsUnknown() bool {
	return len(f.States) == 0 || slices.ContainsFunc(f.States, func(s State) bool { return s != StateRunning })
}

// limit is the number of records to return.
func (f *Filter) limit() int {
	if f.Limit == 0 {
		return DefaultLimit
	}

	return f.Limit
}

// matches reports whether a pattern matches a whole name. Its time is at most proportional to the product of their lengths.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return fits(pattern, name) && len(pattern) == len(name)
	}

	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !fits(first, name) || !fits(last, name[len(name)-len(last):]) {
		return false
	}

	name = name[len(first) : len(name)-len(last)]

	for _, part := range parts[1 : len(parts)-1] {
		at := 0
		for at+len(part) <= len(name) && !fits(part, name[at:]) {
			at++
		}

		if at+len(part) > len(name) {
			return false
		}

		name = name[at+len(part):]
	}

	return true
}

// fits reports whether a name begins with a part of a pattern. ? stands for any byte.
func fits(part, name string) bool {
	if len(part) > len(name) {
		return false
	}

	for i := range len(part) {
		if part[i] != '?' && part[i] != name[i] {
			return false
		}
	}

	return true
}
