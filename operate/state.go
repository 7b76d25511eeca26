package operate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// State is the state of a record as an operator sees it. It distinguishes what store.Running does not: a run under a lease, and a run that
// nobody has heard of since its lease ended.
type State string

// The states. A Filter may have the first four.
const (
	// StateUnknown means that there is something to settle: StateHeld or StateAbandoned.
	StateUnknown State = "unknown"
	// StateHeld means that the owner has reported that it does not know the outcome.
	StateHeld State = "held"
	// StateAbandoned means that the lease has ended before the run has.
	StateAbandoned State = "abandoned"
	// StateRunning means that a run goes on under a lease.
	StateRunning State = "running"
	// StateReleased means that the key may be claimed again.
	StateReleased State = "released"
	// StateCompleted means that the outcome is recorded.
	StateCompleted State = "completed"
	// StateAbsent means that there is no record.
	StateAbsent State = "absent"
)

// ParseStates reads names of states that can be listed, such as "unknown,running". The empty text is StateUnknown.
func ParseStates(text string) ([]State, error) {
	if text == "" {
		return []State{StateUnknown}, nil
	}

	var states []State

	for name := range strings.SplitSeq(text, ",") {
		state := State(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(listable(), state) {
			return nil, errState(state)
		}

		states = append(states, state)
	}

	return states, nil
}

func listable() []State { return []State{StateUnknown, StateHeld, StateAbandoned, StateRunning} }

func errState(state State) error {
	switch state {
	case StateReleased, StateCompleted, StateAbsent:
		return fmt.Errorf("operate: records in state %q cannot be listed: stores index only records that are not settled; "+
			"look such a record up by its ID or key", state)
	default:
		return fmt.Errorf("operate: there is no state %q: give one of %q", state, listable())
	}
}

// StateOf returns the state of a record, at the time at which it was read. It is never StateUnknown, but StateHeld or StateAbandoned.
func StateOf(rec *onlyonce.Record) State {
	switch rec.State {
	case store.Running:
		if rec.Unknown {
			return StateAbandoned
		}

		return StateRunning
	case store.Unknown:
		return StateHeld
	case store.Released:
		return StateReleased
	case store.Completed:
		return StateCompleted
	case store.Absent:
		return StateAbsent
	default:
		return State(strings.ToLower(rec.State.String()))
	}
}

// Since returns since when a record is in its state, on the store's clock. It is zero if the record does not say so.
func Since(rec *onlyonce.Record) time.Time {
	switch StateOf(rec) {
	case StateAbandoned:
		return rec.LeaseUntil
	case StateRunning:
		return rec.LastStart
	case StateAbsent:
		return time.Time{}
	case StateHeld, StateUnknown, StateReleased, StateCompleted:
		return rec.EndedAt
	default:
		return time.Time{}
	}
}

// Age returns for how long a record was in its state when it was read. It is zero if the record does not say so, and never negative.
func Age(rec *onlyonce.Record) time.Duration {
	since := Since(rec)
	if since.IsZero() || rec.LookedUpAt.IsZero() {
		return 0
	}

	return max(rec.LookedUpAt.Sub(since), 0)
}
