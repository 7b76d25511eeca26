//go:build unix

package crash

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onlyonce-go/onlyonce"
)

// patience is the longest wait of a test, and the deadline of a call. A parked call must outlive all other steps of its
// test, also on a busy machine. Only failing tests wait that long.
const patience = 2 * time.Minute

// point is a place on the way of a call, or in the life of a server.
type point string

const (
	atReady    point = "ready"              // the server listens; Body is its address
	atRefused  point = "claim refused"      // the store has not granted a claim
	atClaimed  point = "claimed"            // the store has, and the engine does not know yet
	atHandler  point = "in the handler"     // the handler has begun, nothing has happened
	atCharged  point = "charged"            // the effect has happened
	atReturned point = "returned"           // the handler has returned, nothing is recorded
	atAnswer   point = "about to answer"    // the engine is done; Body is the response, or else the status
	atEnd      point = "told to end"        // a waiting handler has seen its context end; Body is the cause
	atStopping point = "about to shut down" // the server has received SIGTERM
)

// Servers also report the events of their engines, as points of the same names.
var (
	atRenewFailed    = point(onlyonce.EventRenewFailed.String())
	atLeaseLost      = point(onlyonce.EventLeaseLost.String())
	atSettleFailed   = point(onlyonce.EventSettleFailed.String())
	atClaimWithdrawn = point(onlyonce.EventClaimWithdrawn.String())
	atPendingSettled = point(onlyonce.EventPendingSettled.String())
)

// Visit is a server's report that it has reached a point. Key, Fence and Attempt are those of the call.
type Visit struct {
	Server  string
	At      point
	Key     string
	Fence   uint64
	Attempt int
	Body    []byte
}

// journal collects the reports of the servers. It is an RPC service. A server continues when it gets the reply.
type journal struct {
	over chan struct{} // closed when the test is

	mu      sync.Mutex
	visits  []Visit
	traps   []*trap
	onVisit func(Visit) // called before the server may go on; nil does nothing
}

func newJournal() *journal { return &journal{over: make(chan struct{})} }

// Reach is called by servers. It returns when the server may continue.
func (j *journal) Reach(v Visit, _ *bool) error {
	sprung, onVisit := j.note(v)

	if onVisit != nil {
		onVisit(v)
	}

	if sprung == nil {
		return nil
	}

	sprung.visit <- v

	select {
	case <-sprung.released:
	case <-j.over:
	}

	return nil
}

// note writes the visit down, and returns the trap that it springs.
func (j *journal) note(v Visit) (*trap, func(Visit)) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.visits = append(j.visits, v)

	for i, t := range j.traps {
		if t.server == v.Server && t.at == v.At && t.key == v.Key {
			j.traps = slices.Delete(j.traps, i, i+1)

			return t, j.onVisit
		}
	}

	return nil, j.onVisit
}

// watch calls a function at every visit from now on.
func (j *journal) watch(onVisit func(Visit)) {
	j.mu.Lock()
	defer j.mu.Unlock()

	j.onVisit = onVisit
}

// seen returns the visits of a key to a point. An empty key stands for all keys.
func (j *journal) seen(at point, key string) []Visit {
	j.mu.Lock()
	defer j.mu.Unlock()

	var found []Visit

	for _, v := range j.visits {
		if v.At == at && (v.Key == key || key == "") {
			found = append(found, v)
		}
	}

	return found
}

// trap parks a server at a point, once.
type trap struct {
	server   string
	at       point
	key      string
	visit    chan Visit
	released chan struct{}
}

// park sets a trap.
func (j *journal) park(server string, at point, key string) *trap {
	t := &trap{server: server, at: at, key: key, visit: make(chan Visit, 1), released: make(chan struct{})}

	j.mu.Lock()
	defer j.mu.Unlock()

	j.traps = append(j.traps, t)

	return t
}

// wait returns when the server is parked.
func (p *trap) wait(t *testing.T) Visit {
	t.Helper()

	v, err := p.await(nil)
	if err != nil {
		t.Fatal(err)
	}

	return v
}

// await is wait for other goroutines than the test's. ended is closed at the end of the server; nil for none.
func (p *trap) await(ended <-chan struct{}) (Visit, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()

	select {
	case v := <-p.visit:
		return v, nil
	case <-ended:
		return Visit{}, fmt.Errorf("server %s ended before it was %s", p.server, p.at)
	case <-timer.C:
		return Visit{}, fmt.Errorf("server %s did not come to be %s with key %q", p.server, p.at, p.key)
	}
}

// release lets the server go on.
func (p *trap) release() { close(p.released) }

// mustReach waits until a server has come to a point with a key.
func (j *journal) mustReach(t *testing.T, at point, key string) {
	t.Helper()
	eventually(t, key+" is "+string(at), func() bool { return len(j.seen(at, key)) > 0 })
}

// eventually waits for a condition that no server reports.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()

	for begin := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("still not so: %s", what)
		}
	}
}
