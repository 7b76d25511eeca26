package chaos_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// history is everything that happened in a run, in the order in which it did.
type history struct {
	began    time.Time
	took     time.Duration // zero until the run is over
	realTime bool          // on a slow machine, a context may end after the lease without an error of the engine

	mu       sync.Mutex
	clock    int64 // counts events
	log      []entry
	attempts []*attempt
	runs     []*run
	settled  []*settlement
	broken   []string // violations that the oracle found during the run
}

// entry is an event for people.
type entry struct {
	at   time.Duration
	id   onlyonce.Identity // zero where it concerns all
	text string
}

// attempt is one call of an engine.
type attempt struct {
	number   int
	purpose  *purpose
	id       onlyonce.Identity
	process  *process
	plan     plan
	recovery onlyonce.RecoverFunc
	last     bool // made at the end, to see the final answer

	began, ended int64 // on the history's clock; ended is 0 until a client could have seen an answer
	result       onlyonce.Result
	err          error
	panicked     bool
	run          *run      // nil unless its handler ran
	leaseUntil   time.Time // the end of the lease that the store has given it; see lease_test.go
}

// run is one run of a handler.
type run struct {
	number  int
	attempt *attempt
	ctx     context.Context
	fence   uint64

	began, ended int64 // on the history's clock; ended is 0 while it is not over, and for ever if its process has died
	over         bool
	// value is the definite outcome that it ended with; empty where there is none.
	value string
	// written is the outcome that the handler has written in its transaction, whether or not it was committed.
	written     string
	notExecuted bool
	effects     int
}

// settlement is a resolution by the operator or by a recovery function.
type settlement struct {
	id           onlyonce.Identity
	began, ended int64
	value        string // empty where nothing happened
	sure         bool   // it has taken effect
}

// now must be called with the lock held.
func (h *history) now() int64 {
	h.clock++

	return h.clock
}

// notef must be called with the lock held.
func (h *history) notef(id onlyonce.Identity, format string, args ...any) {
	at := h.took
	if at == 0 {
		at = time.Since(h.began)
	}

	h.log = append(h.log, entry{at: at, id: id, text: fmt.Sprintf(format, args...)})
}

// violationf must be called with the lock held.
func (h *history) violationf(id onlyonce.Identity, format string, args ...any) {
	h.broken = append(h.broken, fmt.Sprintf("%v: ", id)+fmt.Sprintf(format, args...))
	h.notef(id, "VIOLATION: "+format, args...)
}

func (h *history) startAttempt(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()

	a.number = len(h.attempts)
	a.began = h.now()
	h.attempts = append(h.attempts, a)
	h.notef(a.id, "attempt %d for %s at process %d", a.number, a.purpose.name, a.process.number)
}

// endAttempt records an answer, unless its process has died before it could be sent.
func (h *history) endAttempt(a *attempt, result onlyonce.Result, err error, panicked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if a.process.dead {
		h.notef(a.id, "attempt %d died with its process", a.number)

		return
	}

	a.ended = h.now()
	a.result, a.err, a.panicked = result, err, panicked
	h.notef(a.id, "attempt %d was answered %s %q, %v (%v)", a.number, result.Status, result.Body, err, onlyonce.VerdictOf(err))
}

// startRun records the start of a handler. A later run has a higher fence.
func (h *history) startRun(ctx context.Context, a *attempt) *run {
	h.mu.Lock()
	defer h.mu.Unlock()

	r := &run{number: len(h.runs), attempt: a, ctx: ctx, began: h.now()}

	about, ok := onlyonce.RunFromContext(ctx)
	if !ok || about.Scope != a.id.Scope || about.Method != a.id.Method || about.Key != a.id.Key {
		h.violationf(a.id, "run %d: its context speaks of another run: %+v", r.number, about)
	}

	if limit := a.process.world.scenario.policy.MaxAttempts; about.Guarantee != onlyonce.AtMostOnce && about.Attempt > limit {
		h.violationf(a.id, "run %d is attempt %d of at most %d", r.number, about.Attempt, limit)
	}

	w := a.process.world

	if a.run != nil && w.ledger == nil { // a transaction that conflicts is run again
		h.violationf(a.id, "attempt %d has run twice", a.number)
	}

	if !h.realTime && about.Guarantee.TakeoverAllowed() && !time.Now().Before(a.leaseUntil) {
		h.violationf(a.id, "run %d starts, and its lease has ended", r.number)
	}

	r.fence = about.Fence

	if w.policy.TransactionMode == onlyonce.SingleTransaction {
		r.fence = uint64(r.number) + 1 // a later run waits for the end of the earlier ones
	}

	for _, other := range h.runs {
		if other.attempt.id == a.id && (other.fence > r.fence && !h.realTime || other.fence == r.fence) {
			h.violationf(a.id, "run %d starts with fence %d, and run %d has started with fence %d", r.number, r.fence, other.number, other.fence)
		}
	}

	a.run = r
	h.runs = append(h.runs, r)
	h.notef(a.id, "run %d of attempt %d starts with fence %d: %v", r.number, a.number, r.fence, &a.plan)

	return r
}

// endRun records the result of a handler, unless its process has died.
func (h *history) endRun(r *run, value string, notExecuted bool, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if r.attempt.process.dead {
		return
	}

	r.ended, r.over, r.value, r.notExecuted = h.now(), true, value, notExecuted
	h.notef(r.attempt.id, "run %d ends: %s %s", r.number, text, value)
}

// story lists the events of one identity.
func (h *history) story(id onlyonce.Identity) string {
	var text strings.Builder

	for _, e := range h.log {
		if e.id == id || e.id == (onlyonce.Identity{}) {
			fmt.Fprintf(&text, "  %9.3fs  %s\n", e.at.Seconds(), e.text)
		}
	}

	return text.String()
}
