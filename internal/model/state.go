package model

import "github.com/onlyonce-go/onlyonce/store"

const (
	calls    = 3 // calls in all, of which two live at a time
	maxFence = 5 // transitions that would raise the fence further are not explored

	operator = calls + 1 // the outcome that an operator records; that of call i is i
)

// phase is where a call stands.
type phase uint8

const (
	waiting     phase = iota // has not begun
	claiming                 // has sent a claim and has no answer
	running                  // its handler runs
	settling                 // its handler has ended, and the end is being written
	withdrawing              // has given its claim up and sends the release until it is acknowledged
	withdrawn                // its release was acknowledged
	ended                    // has answered its caller, or left
	crashed
)

// call is one call of the key, with a token of its own.
type call struct {
	phase    phase
	expects  uint8 // the fence that its claim expects
	affected bool  // its effect has happened
	doubtful bool  // it was told so when it won
	end      ending
	// What it has sent, each of which may arrive at any time and any number of times. A bit for each expected fence.
	claims, releases uint8
	renewed          bool
	written          bool
}

// ending is how a handler has ended.
type ending uint8

const (
	noEnd ending = iota
	definite
	notExecuted
	ambiguous
)

// record is the record in the few facts that matter.
type record struct {
	state      store.State
	owner      uint8 // the call whose token it has; 0 for none
	fence      uint8
	leaseAlive bool
	ownerAlive bool // last start + MaxRun + one lease has not passed
	resolved   bool
	doubtful   bool  // an earlier run may have had its effect
	outcome    uint8 // 0 for none
	attempts   uint8
	request    uint8 // the request that the key is bound to
}

// state is everything. It is comparable, so that a map can hold the states that were seen.
type state struct {
	record record
	calls  [calls]call

	effects  uint8 // how often the effect has happened, up to 2
	answer   uint8 // the recorded answer that somebody was given; 0 for none
	resolves [2]uint8
	// resolves are the operator's messages: as completed, as released; a bit for each fence.
	broken Property // the property that the last step has broken
}

// Property is something that must hold in every reachable state.
type Property string

// The properties.
const (
	// AtMostOneEffect: under AtMostOnce and ExactlyOnce the effect happens at most once.
	AtMostOneEffect Property = "the effect happens at most once under AT_MOST_ONCE and EXACTLY_ONCE"
	// OneAnswer: everybody who gets a recorded answer gets the same.
	OneAnswer Property = "all recorded answers are equal"
	// FenceRises: the fence never goes back within the record's life, and every new run has a higher one.
	FenceRises Property = "the fence never goes back, and rises with every run and every revival"
	// NoFalseLoss: an owner whose record nobody has taken over or resolved is never told that it has lost it.
	NoFalseLoss Property = "no owner is told falsely that it has lost"
	// CompletedStays: a completed record does not change.
	CompletedStays Property = "a completed record never changes"
	// NoLateWin: a claim does not win after its caller has given it up and the store has acknowledged that.
	NoLateWin Property = "no claim wins after its caller has given up"
	// NoFalseRelease: nobody is told that nothing happened while the effect is there.
	NoFalseRelease Property = "released is told only while the effect has not happened"
	// OneRequest: a key is used for one request.
	OneRequest Property = "a key is bound to its first request"
	// NoDeadEnd: whatever has happened, somebody can bring the record to an end.
	NoDeadEnd Property = "no dead end"
)
