package operate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// State is the state of a record as an operator sees it. It splits store.Running in two: a run with a valid lease, and a run whose lease
// has ended.
type State string

// The states. A Filter accepts the first four.
const (
	// StateUnknown means that the outcome is unknown: StateHeld or StateAbandoned.
	StateUnknown State = "unknown"
	// StateHeld means that the owner has reported an unknown outcome.
	StateHeld State = "held"
	// StateAbandoned means that the lease has ended without an outcome.
	StateAbandoned State = "abandoned"
	// StateRunning means that a run is going on under a lease.
	StateRunning State = "running"
	// StateReleased means that the key can be claimed again.
	StateReleased State = "released"
	// StateCompleted means that the outcome is recorded.
	StateCompleted State = "completed"
	// StateAbsent means that there is no record.
	StateAbsent State = "absent"
)

// ParseStates parses a comma-separated list of states, such as "unknown,running". Only states that a Filter accepts are valid. An empty
// text means StateUnknown.
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
		return fmt.Errorf("operate: records in state %q cannot be listed, because stores index only unsettled records: "+
			"look up the record by its ID or key", state)
	default:
		return fmt.Errorf("operate: unknown state %q: use one of %q", state, listable())
	}
}

// StateOf returns the state of a record at the time of reading. It returns StateHeld or StateAbandoned, never StateUnknown.
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

// Since returns when the record entered its state, on the store's clock. It is zero if the record does not contain the time.
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

// Age returns how long the record had been in its state when it was read. It is zero if the record does not contain the time, and never
// negative.
func Age(rec *onlyonce.Record) time.Duration {
	since := Since(rec)
	if since.IsZero() || rec.LookedUpAt.IsZero() {
		return 0
	}

	return max(rec.LookedUpAt.Sub(since), 0)
}
