package model

import "github.com/onlyonce-go/onlyonce/store"

const (
	calls    = 3 // calls in all, of which two live at a time
	maxFence = 5 // the highest fence that is explored

	lookOnly = 7 // the fence that a claim expects which may win nothing

	operator = calls + 1 // the outcome of an operator; that of call i is i
)

// phase is the progress of a call.
type phase uint8

const (
	waiting     phase = iota // has not begun
	following                // waits in its process for the answer of the call that it follows
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
	doubtful bool  // the store reported doubt when it won
	follows  uint8 // the call whose answer it waits for
	asked    uint8 // the fence of the owner about which it has called the recovery function
	days     uint8 // its method's retention when it began
	end      ending
	// Sent messages, each of which may arrive at any time and any number of times: a bit for each expected fence.
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
	started    bool  // it has had a run; otherwise a release has made it
	days       uint8 // the retention of its owner's claim
	kept       uint8 // the days that it will still be kept, once it is settled
}

// state is the whole state. It is comparable, so that a map can hold the visited states.
type state struct {
	record record
	calls  [calls]call

	effects uint8 // how often the effect has happened, up to 2
	answer  uint8 // the recorded answer that somebody was given; 0 for none
	// resolves are the operator's messages: as completed, as released; a bit for each fence.
	resolves  [2]uint8
	forgets   [calls]uint8 // the operator's messages that forget the record, by its owner; a bit for each fence
	forgotten bool         // the operator has ended a record

	age     uint8 // days since the key was made, up to 2
	raised  uint8 // 0 until the method's retention is raised; then 1 for each day that it is in force, and 1
	promise uint8 // the days for which the completed call must not run again

	broken Property // the property that the last step has broken
}

// Property is something that must hold in every reachable state.
type Property string

// The properties.
const (
	// AtMostOneEffect: under AtMostOnce and ExactlyOnce the effect happens at most once.
	AtMostOneEffect Property = "the effect happens at most once under AT_MOST_ONCE and EXACTLY_ONCE"
	// OneAnswer: everybody who gets a recorded answer gets the same.
	OneAnswer Property = "all recorded answers of a key are equal"
	// FenceRises: the fence never goes back within the record's life, and every new run has a higher one.
	FenceRises Property = "the fence never goes back, and rises with every run and every revived lease"
	// NoFalseLoss: an owner is not told that it has lost its record, unless another call took it over or an operator
	// resolved it.
	NoFalseLoss Property = "an owner that still has its record never gets the answer that it has lost it"
	// CompletedStays: a completed record does not change.
	CompletedStays Property = "a completed record never changes"
	// NoLateWin: a claim that its caller has withdrawn, and whose withdrawal the store has acknowledged, does not win.
	NoLateWin Property = "no claim wins after its caller has given up"
	// NoFalseRelease: no caller gets the answer that nothing happened while the effect has happened.
	NoFalseRelease Property = "a caller gets the answer that nothing happened only if the effect has not happened"
	// OneRequest: a key is used for one request.
	OneRequest Property = "a key runs its first request and no other"
	// NoDeadEnd: whatever has happened, somebody can bring the record to an end.
	NoDeadEnd Property = "a retry or an operator can bring every record to an end"
	// OwnReplayCheck: the answer of another's run goes only to callers whose own replay check allows it.
	OwnReplayCheck Property = "no caller gets the answer of another's run unless its own replay check allows it"
	// SettledIsKept: a settled record is kept for the retention of its claim, whoever settles it.
	SettledIsKept Property = "a completed call does not run again within the retention it was claimed with"
	// OldKeyRests: a time-ordered key makes no record once an earlier one may have expired.
	OldKeyRests Property = "a completed call with a time-ordered key never runs again, whatever the retention becomes"
	// AskedFirst: no call runs again or is rejected as unknown before the recovery function was called about the last owner.
	AskedFirst Property = "a key runs again or is rejected as unknown only after the recovery function was called for its last owner"
)
