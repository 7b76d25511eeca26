package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// ErrInjected is matched by every error that a [Faulty] makes up.
var ErrInjected = errors.New("storetest: injected fault")

// Op is an operation of a store, an optional one included.
type Op uint8

// The operations.
const (
	OpClaim Op = iota
	OpRenew
	OpComplete
	OpRelease
	OpHold
	OpLookup
	OpResolve
	// OpWatch has no answer to lose. FaultLostRequest and FaultLostReply mean that the watch is never told of a change;
	// the other faults leave it alone.
	OpWatch
	OpForget
	// OpList is a whole list. Whatever loses it or refuses it makes it an error.
	OpList

	opCount
)

// String returns the name of the operation's method.
func (op Op) String() string {
	names := [...]string{"Claim", "Renew", "Complete", "Release", "Hold", "Lookup", "Resolve", "Watch", "Forget", "List"}
	if int(op) < len(names) {
		return names[op]
	}

	return fmt.Sprintf("Op(%d)", uint8(op))
}

// Fault is what becomes of an operation on its way to the store and back.
type Fault uint8

// The faults.
const (
	// FaultNone passes the operation on, and its answer back.
	FaultNone Fault = iota
	// FaultLostRequest means that the operation never arrives; its caller gets an error.
	FaultLostRequest
	// FaultLostReply means that the operation arrives; its caller gets an error.
	FaultLostReply
	// FaultLate means that the caller gets an error at once, and that the operation arrives later, once or twice.
	FaultLate
	// FaultRepeat passes the operation on, and its answer back; a second copy of it arrives later.
	FaultRepeat
	// FaultError means that the store refuses the operation and changes nothing. Its caller cannot know that.
	FaultError
	// FaultFull means that the store refuses the operation with [store.ErrFull], which promises that nothing changed. It
	// is for what may have to make a record, Claim and Release; other operations pass.
	FaultFull
	// FaultSlow means that the operation takes a while to arrive, and its answer to come back. If the caller's context
	// ends meanwhile the caller gets an error; the operation has arrived if it was the answer that was on its way.
	FaultSlow

	faultCount
)

// String returns the name of the fault.
func (f Fault) String() string {
	names := [...]string{"none", "lost request", "lost reply", "late", "repeat", "error", "full", "slow"}
	if int(f) < len(names) {
		return names[f]
	}

	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// Faults are the probabilities, from 0 to 1 and at most 1 in all, with which an operation meets each [Fault]. The zero
// value passes everything.
type Faults struct {
	LostRequest, LostReply, Late, Repeat, Error, Full, Slow float64

	// Delay is the longest time that a slow operation takes in all.
	Delay time.Duration
	// LateBy is the longest time after which a late operation or a repeat arrives. Zero means Delay.
	LateBy time.Duration
}

// dead loses every operation.
func dead() Faults { return Faults{LostRequest: 1} }

// by returns the probabilities in the order of the faults.
func (f *Faults) by() [faultCount]float64 {
	return [...]float64{
		FaultLostRequest: f.LostRequest, FaultLostReply: f.LostReply, FaultLate: f.Late, FaultRepeat: f.Repeat,
		FaultError: f.Error, FaultFull: f.Full, FaultSlow: f.Slow,
	}
}

func (f *Faults) validate() error {
	sum := 0.0

	for fault, p := range f.by() {
		if p < 0 || p > 1 {
			return fmt.Errorf("storetest: the probability of %q is %v: give 0 to 1", Fault(fault), p)
		}

		sum += p
	}

	const rounding = 1e-9 // ten tenths are not quite one

	switch {
	case sum > 1+rounding:
		return fmt.Errorf("storetest: the probabilities add up to %v: give at most 1 in all: %+v", sum, *f)
	case f.Delay < 0 || f.LateBy < 0:
		return fmt.Errorf("storetest: a delay is negative: %+v", *f)
	default:
		return nil
	}
}

// of returns the fault that a number in [0, 1) stands for.
func (f *Faults) of(number float64) Fault {
	for fault, p := range f.by() {
		if number < p {
			return Fault(fault)
		}

		number -= p
	}

	return FaultNone
}

func (f *Faults) lateBy() time.Duration {
	if f.LateBy > 0 {
		return f.LateBy
	}

	return f.Delay
}

// injected is the error that a fault gives to a caller.
func injected(op Op, fault Fault) error {
	if fault == FaultFull {
		return fmt.Errorf("%w: %v: %w", ErrInjected, op, store.ErrFull)
	}

	return fmt.Errorf("%w: %v: %v", ErrInjected, op, fault)
}
