package model

import (
	"fmt"
	"strings"

	"github.com/onlyonce-go/onlyonce/store"
)

// Config configures a check.
type Config struct {
	Guarantee store.Guarantee
	// Calls is the number of calls, 1 to 3. Two of them are concurrent. Zero means 3.
	Calls int
	// MaxAttempts limits takeovers. Zero means no limit.
	MaxAttempts uint32
	// TwoRequests makes the last call send a different request with the same key.
	TwoRequests bool
	// Private adds replay checks that hide answers from other callers.
	Private bool
	// Recovery adds a recovery function.
	Recovery bool
	// Days makes days pass, so that records expire. The method's retention is longer than the engine's.
	Days bool
	// TimeOrdered uses a time-ordered key, and raises the method's retention at some time. It implies Days.
	TimeOrdered bool
	// Forgets lets an operator forget one record.
	Forgets bool
	// MaxFence is the highest explored fence. Transitions beyond it are skipped. Zero means 5.
	MaxFence uint8
	// Fault is the rule to turn off, for a check that must fail.
	Fault Fault
	// MaxStates limits the search. Zero means no limit.
	MaxStates int
}

// Result is the result of a check.
type Result struct {
	// States is the number of visited states.
	States int
	// Complete reports that all reachable states were visited.
	Complete bool
	// Broken is the violated property, or empty.
	Broken Property
	// Trace is a shortest path to the violation.
	Trace []string
}

// String formats the counterexample.
func (r Result) String() string {
	if r.Broken == "" {
		return fmt.Sprintf("%d states, no counterexample", r.States)
	}

	return fmt.Sprintf("%d states; broken: %s\n  %s", r.States, r.Broken, strings.Join(r.Trace, "\n  "))
}
