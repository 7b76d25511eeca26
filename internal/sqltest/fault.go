//go:build unix

package sqltest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/internal/servertest"
)

// Fault is what is made of a statement.
type Fault int

const (
	// Passed is no fault: the server gets the statement, the client gets the reply.
	Passed Fault = iota
	// LostReply cuts the connection when the server has executed the statement, and before the client knows.
	LostReply
	// LostRequest cuts the connection before the server gets the statement. What is sent in one batch is lost with it.
	LostRequest
	// Late cuts the connection, and the server gets the statement later, with [Armed.Deliver]. Until then the server takes
	// the session for one that goes on. What is sent in one batch is late with it.
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

// Armed is a fault that waits for its statement. One that still waits when the test ends is an error: such a test proves
// nothing. [Armed.Disarm] takes it back.
type Armed struct {
	proxy *Proxy
	fault Fault
	match Match
	every bool

	happened chan struct{} // closed when it has, once
	once     sync.Once

	// Guarded by the proxy.
	taken bool // it was taken back
	count int
	late  []delayed
}

// delayed is a request that arrives later.
type delayed struct {
	line    *line
	request *request
}

// Next makes a fault of the next statement that matches.
func (x *Proxy) Next(fault Fault, match Match) *Armed { return x.arm(fault, match, false) }

// Every makes a fault of every statement that matches, until it is disarmed.
func (x *Proxy) Every(fault Fault, match Match) *Armed { return x.arm(fault, match, true) }

func (x *Proxy) arm(fault Fault, match Match, every bool) *Armed {
	x.mu.Lock()
	defer x.mu.Unlock()

	a := &Armed{proxy: x, fault: fault, match: match, every: every, happened: make(chan struct{})}
	x.all = append(x.all, a)
	x.armed = append(x.armed, a)

	return a
}

// Wait returns when the fault has happened, at least once.
func (a *Armed) Wait() {
	a.proxy.tb.Helper()

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	select {
	case <-a.happened:
	case <-timer.C:
		a.proxy.tb.Fatalf("%v: not within %v", a.fault, servertest.Patience)
	}
}

// Happened is closed when the fault has happened, at least once.
func (a *Armed) Happened() <-chan struct{} { return a.happened }

// Count returns how often the fault has happened.
func (a *Armed) Count() int {
	a.proxy.mu.Lock()
	defer a.proxy.mu.Unlock()

	return a.count
}

// Disarm lets later statements pass, and the fault need not have happened.
func (a *Armed) Disarm() {
	a.proxy.mu.Lock()
	defer a.proxy.mu.Unlock()

	a.taken = true
	a.proxy.disarm(a)
}

// Deliver gives what is late to the server, and returns when that has executed it. Then it ends the session.
func (a *Armed) Deliver() {
	a.proxy.tb.Helper()
	a.Wait()

	a.proxy.mu.Lock()
	late := a.late
	a.late = nil
	a.proxy.mu.Unlock()

	for _, d := range late {
		if err := d.deliver(); err != nil {
			a.proxy.tb.Fatalf("delivering %q: %v", d.request.statements[0].Text, err)
		}
	}
}

func (d delayed) deliver() error {
	d.line.pass(d.request)
	_ = d.line.server.CloseWrite() // an error says that it has gone

	timer := time.NewTimer(servertest.Patience)
	defer timer.Stop()

	select {
	case <-d.request.answered:
		return nil
	case <-d.line.ended:
		// It may have gone because it had nothing more to do.
		select {
		case <-d.request.answered:
			return nil
		default:
			return errors.New("the server has gone")
		}
	case <-timer.C:
		return errors.New("the server does not reply")
	}
}

// happen lets the fault happen. Whoever sees that it has, sees that it was counted.
func (a *Armed) happen(cut func()) {
	a.proxy.mu.Lock()
	a.count++
	a.proxy.mu.Unlock()

	cut()
	a.once.Do(func() { close(a.happened) })
}

// isMissed reports whether the fault should have happened and has not.
func (a *Armed) isMissed() bool { return a.count == 0 && !a.taken }

// disarm is called with the lock.
func (x *Proxy) disarm(a *Armed) {
	x.armed = slices.DeleteFunc(x.armed, func(other *Armed) bool { return other == a })
}

// choose returns the fault that befalls a request, if any. It is called with the lock.
func (x *Proxy) choose(r *request) *Armed {
	for _, a := range x.armed {
		if slices.ContainsFunc(r.statements, a.match) {
			if !a.every {
				x.disarm(a)
			}

			return a
		}
	}

	return nil
}
