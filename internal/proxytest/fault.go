//go:build unix

package proxytest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Fault is what happens to a command.
type Fault int

const (
	// Passed is no fault: the server gets the command, and the client gets the reply.
	Passed Fault = iota
	// LostReply cuts the connection after the server has replied and before the client gets the reply.
	LostReply
	// LostRequest cuts the connection before the server gets the command. What the client has sent behind it, in one go, is
	// lost with it.
	LostRequest
	// Late cuts the connection, and the server gets the command later, with [Armed.Deliver]. Until then the server holds the
	// client for connected. What the client has sent behind it, in one go, is late with it.
	Late
	// Hung keeps the reply back for ever, and all later ones of that connection, which stays open.
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

// Armed is a fault that waits for its command. If it still waits when the test ends, the test fails, because it proves
// nothing. [Armed.Disarm] takes the fault back.
type Armed[C any] struct {
	plan  *Plan[C]
	fault Fault
	match func(C) bool
	every bool

	happened chan struct{} // closed when it has, once
	once     sync.Once

	// Guarded by the plan.
	disarmed bool
	count    int
	late     []delayed[C]
}

// delayed is what a client has sent in one go, from the chosen request on. It arrives later.
type delayed[C any] struct {
	line     *line[C]
	requests []*Request[C]
}

// Wait returns when the fault has happened at least once.
func (a *Armed[C]) Wait() {
	a.plan.tb.Helper()

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	select {
	case <-a.happened:
	case <-timer.C:
		a.plan.tb.Fatalf("%v: not within %v", a.fault, servertest.Patience)
	}
}

// Happened is closed when the fault has happened at least once.
func (a *Armed[C]) Happened() <-chan struct{} { return a.happened }

// Count returns how often the fault has happened.
func (a *Armed[C]) Count() int {
	a.plan.mu.Lock()
	defer a.plan.mu.Unlock()

	return a.count
}

// Disarm lets later commands pass. The fault need not have happened.
func (a *Armed[C]) Disarm() {
	a.plan.mu.Lock()
	defer a.plan.mu.Unlock()

	a.disarmed = true
	a.plan.remove(a)
}

// Deliver gives the late requests to their servers, and returns when the servers have replied. The result has one reply for
// each chosen request, as its last message came over the wire. The reply is empty where the server has gone meanwhile.
// Deliver ends the late connections.
func (a *Armed[C]) Deliver() []string {
	a.plan.tb.Helper()
	a.Wait()

	a.plan.mu.Lock()
	late := a.late
	a.late = nil
	a.plan.mu.Unlock()

	replies := make([]string, 0, len(late))

	for _, d := range late {
		if err := d.deliver(); err != nil {
			a.plan.tb.Fatalf("delivering %q: %v", d.requests[0].Raw, err)
		}

		replies = append(replies, string(d.requests[0].reply))
	}

	return replies
}

// MustDeliver is [Armed.Deliver], and fails the test where a server has gone.
func (a *Armed[C]) MustDeliver() {
	a.plan.tb.Helper()

	if slices.Contains(a.Deliver(), "") {
		a.plan.tb.Fatalf("%v: a server has gone", a.fault)
	}
}

func (d delayed[C]) deliver() error {
	_ = d.line.send(d.requests) // where it fails the line ends
	_ = d.line.server.CloseWrite()

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	for _, r := range d.requests {
		if r.Silent {
			continue
		}

		select {
		case <-r.answered:
		case <-d.line.ended:
		case <-timer.C:
			return errors.New("the server does not reply")
		}
	}

	return nil
}

// happen lets the fault happen. It counts the fault before anybody can see the effect.
func (a *Armed[C]) happen(cut func()) {
	a.plan.mu.Lock()
	a.count++
	a.plan.mu.Unlock()

	cut()
	a.once.Do(func() { close(a.happened) })
}

// isMissed reports whether the fault should have happened and has not.
func (a *Armed[C]) isMissed() bool { return a.count == 0 && !a.disarmed }

// keepsFromServer reports whether the server does not get the request, or not now.
func (a *Armed[C]) keepsFromServer() bool {
	return a != nil && (a.fault == LostRequest || a.fault == Late)
}
