package operate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// DefaultLimit is how many records a List returns unless its Filter has another Limit.
const DefaultLimit = 1000

// Filter selects records. Its zero value selects every record whose outcome is unknown.
type Filter struct {
	// States are the states that are selected: StateUnknown, StateHeld, StateAbandoned, StateRunning. None means StateUnknown.
	States []State
	// Method is a pattern for the whole name of the method: * stands for any characters, a slash too, and ? for one. Empty means every
	// method, and records without one.
	Method string
	// Older selects records that have been in their state for at least so long. Records that do not say since when are selected only if
	// Older is zero.
	Older time.Duration
	// Limit is how many records are returned at most. Zero means DefaultLimit.
	Limit int
}

// Validate reports everything that is wrong with a filter, or nil.
func (f *Filter) Validate() error {
	var errs []error

	for _, state := range f.States {
		if !slices.Contains(listable(), state) {
			errs = append(errs, errState(state))
		}
	}

	if f.Older < 0 {
		errs = append(errs, fmt.Errorf("operate: a filter for records older than %v: give a duration that is not negative", f.Older))
	}

	if f.Limit < 0 {
		errs = append(errs, fmt.Errorf("operate: a filter with a limit of %d: give a number that is not negative", f.Limit))
	}

	return errors.Join(errs...)
}

// Selects reports whether a filter selects a record. It decides on the record alone, and leaves Limit to others.
func (f *Filter) Selects(rec *onlyonce.Record) bool {
	state := StateOf(rec)

	return (f.wants(state) || rec.Unknown && f.wants(StateUnknown)) &&
		(f.Method == "" || matches(f.Method, rec.Method)) &&
		(f.Older == 0 || !Since(rec).IsZero() && Age(rec) >= f.Older)
}

func (f *Filter) wants(state State) bool {
	if len(f.States) == 0 {
		return state == StateUnknown
	}

	return slices.Contains(f.States, state)
}

// wantsUnknown reports whether a filter selects any record whose outcome is unknown.
func (f *Filter) wantsUnknown() bool {
	return len(f.States) == 0 || slices.ContainsFunc(f.States, func(s State) bool { return s != StateRunning })
}

// limit is how many records the filter wants.
func (f *Filter) limit() int {
	if f.Limit == 0 {
		return DefaultLimit
	}

	return f.Limit
}

// matches reports whether a pattern matches a whole name. It takes time in proportion to the product of their lengths at most.
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

// fits reports whether a name begins with a part of a pattern, in which ? stands for any byte.
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
