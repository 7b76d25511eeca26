package model

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// Config says what is checked.
type Config struct {
	Guarantee store.Guarantee
	// Calls is how many calls there are in all, 1 to 3. Two of them live at a time. Zero means 3.
	Calls int
	// MaxAttempts bounds takeover. Zero means no bound.
	MaxAttempts uint32
	// TwoRequests gives the last call another request under the same key.
	TwoRequests bool
	// Private has replay checks that keep each caller from the answers of others.
	Private bool
	// Recovery has a recovery function.
	Recovery bool
	// Days lets days pass, so that records expire. The method's retention is longer than the engine's.
	Days bool
	// TimeOrdered has a time-ordered key, and the method's retention is raised at some time. It implies Days.
	TimeOrdered bool
	// Forgets lets an operator forget one record.
	Forgets bool
	// MaxFence is the highest fence that is explored: transitions that would raise it further are not. Zero means 5.
	MaxFence uint8
	// Fault is the rule that is turned off, for a check that must fail.
	Fault Fault
	// MaxStates bounds the search; zero means that all states are visited.
	MaxStates int
}

// Result is what a check has found.
type Result struct {
	// States is the number of states that were visited.
	States int
	// Complete reports that there are no others.
	Complete bool
	// Broken is the property that does not hold, or empty.
	Broken Property
	// Trace leads from the beginning to the state in which it does not, by a shortest way.
	Trace []string
}

// String shows the counterexample.
func (r Result) String() string {
	if r.Broken == "" {
		return fmt.Sprintf("%d states, no counterexample", r.States)
	}

	return fmt.Sprintf("%d states; broken: %s\n  %s", r.States, r.Broken, strings.Join(r.Trace, "\n  "))
}
