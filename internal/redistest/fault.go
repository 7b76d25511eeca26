//go:build unix

package redistest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Fault is what is made of a command.
type Fault int

const (
	// Passed is no fault: the server gets the command, the client gets the reply.
	Passed Fault = iota
	// LostReply cuts the connection when the server has replied, and before the client knows.
	LostReply
	// LostRequest cuts the connection before the server gets the command. What follows in a pipeline is lost with it.
	LostRequest
	// Late cuts the connection, and the server gets the command later, with [Armed.Deliver]. What follows in a pipeline is
	// late with it.
	Late
	// Hung never passes the reply on, nor any other on that connection, which stays open.
	Hung
)

// String returns the name of the fault.
func (f Fault) String() string {
	names := [...]string{Passed: "passed", LostReply: "lost reply", LostRequest: "lost request", Late: "late", Hung: "hung"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("fault %d", int(f))
	}

	return names[f]
}

// Armed is a fault that waits for its command. One that still waits when the test ends is an error: such a test proves
// nothing. [Armed.Disarm] takes it back.
type Armed struct {
	tb    testing.TB
	plan  *Plan
	fault Fault
	match Match
	every bool

	happened chan struct{} // closed when it has, once
	once     sync.Once

	// Guarded by the plan.
	taken bool // it was taken back
	count int
	late  []*delayed
}

// delayed is a part of a connection's requests that arrives later.
type delayed struct {
	link     *link
	requests []*request // the first is the one that was chosen
}

// Wait returns when the fault has happened, at least once.
func (a *Armed) Wait() {
	a.tb.Helper()

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	select {
	case <-a.happened:
	case <-timer.C:
		a.tb.Fatalf("%v: not within %v", a.fault, servertest.Patience)
	}
}

// Count returns how often the fault has happened.
func (a *Armed) Count() int {
	a.plan.mu.Lock()
	defer a.plan.mu.Unlock()

	return a.count
}

// Disarm lets later commands pass, and the fault need not have happened.
func (a *Armed) Disarm() {
	a.plan.mu.Lock()
	defer a.plan.mu.Unlock()

	a.taken = true
	a.plan.disarm(a)
}

// Deliver gives what is late to its server, and returns when that has replied. It returns one reply for each command that
// was chosen, as it came over the wire, and an empty one where the server has gone meanwhile.
func (a *Armed) Deliver() []string {
	a.tb.Helper()
	a.Wait()

	a.plan.mu.Lock()
	late := a.late
	a.late = nil
	a.plan.mu.Unlock()

	replies := make([]string, 0, len(late))

	for _, d := range late {
		if err := d.deliver(); err != nil {
			a.tb.Fatalf("delivering %s: %v", d.requests[0].command.Name, err)
		}

		replies = append(replies, string(d.requests[0].reply))
	}

	return replies
}

func (d *delayed) deliver() error {
	d.link.sendLate(d.requests)

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	for _, r := range d.requests {
		select {
		case <-r.answered:
		case <-d.link.ended:
		case <-timer.C:
			return errors.New("the server does not reply")
		}
	}

	return nil
}

// happen lets the fault happen. Whoever sees that it has, sees that it was counted.
func (a *Armed) happen(cut func()) {
	a.plan.mu.Lock()
	a.count++
	a.plan.mu.Unlock()

	cut()
	a.once.Do(func() { close(a.happened) })
}

// isMissed reports whether the fault should have happened and has not.
func (a *Armed) isMissed() bool { return a.count == 0 && !a.taken }

// disarm is called with the lock.
func (p *Plan) disarm(a *Armed) {
	p.armed = slices.DeleteFunc(p.armed, func(other *Armed) bool { return other == a })
}

// choose returns the fault that befalls a command, if any. It is called with the lock.
func (p *Plan) choose(c Command) *Armed {
	for _, a := range p.armed {
		if a.match(c) {
			if !a.every {
				p.disarm(a)
			}

			return a
		}
	}

	return nil
}
