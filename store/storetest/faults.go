package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// ErrInjected is matched by every error that a [Faulty] injects.
var ErrInjected = errors.New("storetest: injected fault")

// Op is an operation of a store, including the optional ones.
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
	// OpWatch has no answer that could be lost. FaultLostRequest and FaultLostReply suppress the notifications of the watch. Other faults do
	// not affect it.
	OpWatch
	OpForget
	// OpList is a whole list. A fault that loses or refuses it makes it yield only an error.
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

// Fault is what happens to an operation on its way to the store and back.
type Fault uint8

// The faults.
const (
	// FaultNone passes the operation and its answer.
	FaultNone Fault = iota
	// FaultLostRequest loses the operation. The caller gets an error.
	FaultLostRequest
	// FaultLostReply passes the operation and loses its answer. The caller gets an error.
	FaultLostReply
	// FaultLate returns an error to the caller at once. The operation arrives later, once or twice.
	FaultLate
	// FaultRepeat passes the operation and its answer. A second copy of the operation arrives later.
	FaultRepeat
	// FaultError refuses the operation and changes nothing. The caller gets an error that does not reveal that.
	FaultError
	// FaultFull refuses the operation with [store.ErrFull], which means that nothing changed. It applies to Claim and Release, which may
	// create records. Other operations pass.
	FaultFull
	// FaultSlow delays the operation and its answer. If the caller's context ends meanwhile, the caller gets an error. The operation has then
	// arrived if only the answer was still on its way.
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

// Faults are the probabilities of each [Fault], from 0 to 1. Their sum is at most 1. The zero value passes everything.
type Faults struct {
	LostRequest, LostReply, Late, Repeat, Error, Full, Slow float64

	// Delay is the longest delay of a slow operation in both directions together.
	Delay time.Duration
	// LateBy is the longest time until a late operation or a repeat arrives. Zero means Delay.
	LateBy time.Duration
}

// dead returns faults that lose every operation.
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

	const rounding = 1e-9 // ten times 0.1 is not exactly 1

	switch {
	case sum > 1+rounding:
		return fmt.Errorf("storetest: the probabilities add up to %v: give at most 1 in all: %+v", sum, *f)
	case f.Delay < 0 || f.LateBy < 0:
		return fmt.Errorf("storetest: a delay is negative: %+v", *f)
	default:
		return nil
	}
}

// of returns the fault for a number in [0, 1).
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

// injected returns the error of a fault.
func injected(op Op, fault Fault) error {
	if fault == FaultFull {
		return fmt.Errorf("%w: %v: %w", ErrInjected, op, store.ErrFull)
	}

	return fmt.Errorf("%w: %v: %v", ErrInjected, op, fault)
}
