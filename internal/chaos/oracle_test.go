package chaos_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onlyonce-go/onlyonce"
)

// judge checks the whole history of a run and returns the violations:
//
//   - more than one effect under AtMostOnce or ExactlyOnce, for an identity, or for a purpose whose clients took another key only
//     after "nothing happened"
//   - two different recorded answers, or an answer that differs from its run's or from the ledger, or the answer of an overtaken run
//   - an answer, or a run, for another client's request
//   - "nothing happened" although the run had an effect, or an earlier run that may not have been over, or although another run that
//     had overtaken it still could have one
//   - an ambiguous outcome that is reported as a definite one, or as a success
//   - an order of answers that no single register of one outcome can explain
//
// The history already has the violations found during the run: overtaken runs whose context is alive, runs whose context outlives
// their lease, fences used twice, keys that stay locked, dead ends, and leaked goroutines.
func (s *scenario) judge(h *history) []string {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, a := range h.attempts {
		if a.ended != 0 {
			h.judgeAnswer(a)
		}
	}

	for _, id := range h.identities() {
		h.judgeIdentity(id, s.once())

		if !h.linearizable(id) {
			h.violationf(id, "no single register explains the order of its answers")
		}
	}

	if s.once() {
		h.judgePurposes(s)
	}

	return h.broken
}

// once reports whether effects must not happen twice.
func (s *scenario) once() bool { return s.policy.Guarantee != onlyonce.AtLeastOnce }

func (h *history) judgeAnswer(a *attempt) {
	outcome := onlyonce.VerdictOf(a.err)

	switch {
	case a.panicked:
		if a.run == nil || a.run.over && a.run.value != "" {
			h.violationf(a.id, "attempt %d was left by a handler that did not panic", a.number)
		}

		return
	case a.err == nil:
		h.judgeSuccess(a)
	case errors.Is(a.err, onlyonce.ReasonKeyReused):
		h.judgeReused(a)
	case outcome == onlyonce.VerdictFinal && a.result.Status == onlyonce.StatusRejected:
		h.violationf(a.id, "attempt %d was rejected for good: %v", a.number, a.err)
	case outcome == onlyonce.VerdictFinal && !definite(a):
		h.violationf(a.id, "attempt %d: %s is told as definite", a.number, a.result.Status)
	case outcome == onlyonce.VerdictNotExecuted:
		h.judgeNotExecuted(a)
	}

	if (a.result.Status == onlyonce.StatusReleased) != (outcome == onlyonce.VerdictNotExecuted) {
		h.violationf(a.id, "attempt %d: %s means %v", a.number, a.result.Status, outcome)
	}

	switch {
	case definite(a) && outcome != onlyonce.VerdictFinal:
		h.violationf(a.id, "attempt %d: a recorded outcome means %v", a.number, outcome)
	case a.result.Status == onlyonce.StatusExecuted && (a.run == nil || a.run.value != a.value()):
		h.violationf(a.id, "attempt %d: its answer is not its run's", a.number)
	}
}

// value is the answer of an attempt that is definite.
func (a *attempt) value() string { return valueOf(a.result.Body, a.err) }

func (h *history) judgeSuccess(a *attempt) {
	if definite(a) {
		return
	}

	if a.result.Status != onlyonce.StatusUnrecorded || a.run == nil || a.run.value != a.value() {
		h.violationf(a.id, "attempt %d: %s is told as success", a.number, a.result.Status)
	}
}

// judgeReused checks a rejection that will not change: the key belongs to another request, so none for this purpose runs.
func (h *history) judgeReused(a *attempt) {
	for _, r := range h.runs {
		if r.attempt.id == a.id && r.attempt.purpose == a.purpose && h.binds(r) && r.bindsAt(a.ended) {
			h.violationf(a.id, "attempt %d was told that the key belongs to another request; run %d was for this one", a.number, r.number)
		}
	}
}

// judgeNotExecuted checks "nothing happened". The run that reports it had no effect, and neither had an earlier run. No
// other run had overtaken it by its end, whose effect could still come.
func (h *history) judgeNotExecuted(a *attempt) {
	speaker, ok := errors.AsType[*handlerError](a.err)
	if !ok {
		h.violationf(a.id, "attempt %d was told that nothing happened, and no handler said so: %v", a.number, a.err)

		return
	}

	if !speaker.run.notExecuted || speaker.run.attempt.id != a.id || a.run != nil && a.run != speaker.run {
		h.violationf(a.id, "attempt %d was told that nothing happened by run %d, which is not its own or did not say so",
			a.number, speaker.run.number)
	}

	for _, r := range h.runs {
		switch {
		case r.attempt.id != a.id:
		case r.fence <= speaker.run.fence && r.effects > 0:
			h.violationf(a.id, "attempt %d was told that nothing happened, and run %d had an effect", a.number, r.number)
		case r.number > speaker.run.number && r.began < speaker.run.ended && !r.leftNothing():
			h.violationf(a.id, "attempt %d was told that nothing happened by run %d, which run %d with %d effects had overtaken",
				a.number, speaker.run.number, r.number, r.effects)
		}
	}
}

// binds reports whether a run binds its key to its request. A rollback removes the binding.
func (h *history) binds(r *run) bool {
	if r.attempt.process.world.policy.TransactionMode != onlyonce.SingleTransaction || r.effects > 0 {
		return true
	}

	return slices.ContainsFunc(h.attempts, func(a *attempt) bool {
		return a.id == r.attempt.id && a.ended != 0 && !a.panicked && definite(a) && a.value() == r.value
	})
}

// bindsAt reports whether a run binds its key at a time. Before the run began, another run may have bound the key and
// been rolled back.
func (r *run) bindsAt(at int64) bool {
	return r.attempt.process.world.policy.TransactionMode != onlyonce.SingleTransaction || r.began < at
}

func (h *history) judgeIdentity(id onlyonce.Identity, once bool) {
	var (
		first   *attempt // with a recorded answer
		effects int
		about   *purpose
	)

	for _, r := range h.runs {
		if r.attempt.id != id {
			continue
		}

		effects += r.effects

		if !h.binds(r) {
			continue
		}

		if about != nil && about != r.attempt.purpose {
			h.violationf(id, "run %d is for %s, an earlier one was for %s", r.number, r.attempt.purpose.name, about.name)
		}

		about = r.attempt.purpose
	}

	if once && effects > 1 {
		h.violationf(id, "%d effects", effects)
	}

	for _, a := range h.attempts {
		if a.id != id || a.ended == 0 || a.panicked || !definite(a) {
			continue
		}

		if a.purpose != about {
			h.violationf(id, "attempt %d for %s got an answer for another request", a.number, a.purpose.name)
		}

		if first == nil {
			first = a
			h.judgeLedger(a, effects, once)
			h.judgeOwner(a)
		}

		if a.value() != first.value() {
			h.violationf(id, "attempt %d got %q, attempt %d got %q", first.number, first.value(), a.number, a.value())
		}
	}
}

// judgeLedger checks the recorded answer against the ledger, and that it is an answer to the call.
func (h *history) judgeLedger(a *attempt, effects int, once bool) {
	if !strings.Contains(a.value(), fmt.Sprintf("%v|%s|", a.id, a.purpose.name)) {
		h.violationf(a.id, "attempt %d for %s got an answer to another call: %q", a.number, a.purpose.name, a.value())
	}

	if succeeded := a.err == nil; succeeded && effects == 0 || !succeeded && effects > 0 && once {
		h.violationf(a.id, "the answer is %q, and the ledger shows %d effects", a.value(), effects)
	}
}

// judgeOwner checks that the run with the recorded outcome was the last one: no run took over before, and none has
// begun since. A single transaction that ends with a definite error frees the key before the error is recorded, so runs
// without effects may begin in between.
func (h *history) judgeOwner(a *attempt) {
	var owner *run

	for _, r := range h.runs {
		if r.attempt.id == a.id && r.value == a.value() {
			owner = r
		}
	}

	for _, r := range h.runs {
		if owner != nil && r.attempt.id == a.id && r.fence > owner.fence && !owner.mayBeFollowedBy(r) {
			h.violationf(a.id, "the outcome of run %d with fence %d was recorded, and run %d with fence %d began",
				owner.number, owner.fence, r.number, r.fence)
		}
	}
}

// mayBeFollowedBy reports whether the outcome of a run may be recorded although another has begun after it.
func (r *run) mayBeFollowedBy(other *run) bool {
	answered := r.attempt.ended != 0 && r.attempt.ended < other.began

	return r.leftNothing() && other.leftNothing() && !answered
}

// leftNothing reports whether a run was in a transaction that was rolled back with all that it did.
func (r *run) leftNothing() bool {
	return r.attempt.process.world.policy.TransactionMode == onlyonce.SingleTransaction && r.effects == 0
}

// judgePurposes checks that each purpose was fulfilled at most once, under all keys of its clients. Attempts after the
// end do not count.
func (h *history) judgePurposes(s *scenario) {
	for i := range s.purposes {
		effects := 0

		for _, r := range h.runs {
			if r.attempt.purpose == &s.purposes[i] && !r.attempt.last {
				effects += r.effects
			}
		}

		if effects > 1 {
			h.violationf(s.purposes[i].id, "%d effects for %s", effects, s.purposes[i].name)
		}
	}
}
