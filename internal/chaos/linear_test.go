package chaos_test

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/onlyonce-go/onlyonce"
)

// The sequential model of a key has no leases, fences or tokens. It is a register that is set once: to the outcome of
// the recorded run, or to a resolution. Its state is that outcome.

// access is one access to the register.
type access struct {
	kind  accessKind
	value string
}

type accessKind int

const (
	sets     accessKind = iota // an executed call: it finds the register unset
	resolves                   // an acknowledged settlement: unset, or set by a copy of itself
	reads                      // a replayed call
	maySet                     // the result is not known: it may set an unset register at any time after its beginning
)

func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			value, _ := state.(string)
			in, _ := input.(access)

			switch in.kind {
			case sets:
				return value == "", in.value
			case resolves:
				return value == "" || value == in.value, in.value
			case reads:
				return value == in.value, value
			case maySet:
				if value == "" {
					return true, in.value
				}

				return true, value
			default:
				return false, value
			}
		},
	}
}

// linearizable reports whether an order of the accesses to a key explains all answers. Each access takes effect at one
// instant between its beginning and its end.
func (h *history) linearizable(id onlyonce.Identity) bool {
	const patience = 10 * time.Second // real time, if a history is that hard to explain

	return porcupine.CheckOperationsTimeout(register(), h.accesses(id), patience) != porcupine.Illegal
}

func (h *history) accesses(id onlyonce.Identity) []porcupine.Operation {
	var all []porcupine.Operation

	add := func(a access, began, ended int64) {
		if a.kind == maySet {
			ended = math.MaxInt64
		}

		all = append(all, porcupine.Operation{ClientId: len(all), Input: a, Call: began, Return: ended})
	}

	for _, a := range h.attempts {
		answered := a.id == id && a.ended != 0 && !a.panicked

		switch {
		case answered && a.result.Status == onlyonce.StatusExecuted:
			add(access{sets, a.value()}, a.began, a.ended)
		case answered && a.result.Status == onlyonce.StatusReplayed:
			add(access{reads, a.value()}, a.began, a.ended)
		case a.id == id && a.run != nil && a.run.value != "":
			add(access{maySet, a.run.value}, a.began, a.ended)
		}
	}

	for _, s := range h.settled {
		switch {
		case s.id != id || s.value == "":
		case s.sure:
			add(access{resolves, s.value}, s.began, s.ended)
		default:
			add(access{maySet, s.value}, s.began, s.ended)
		}
	}

	return all
}
