package onlyonce

import (
	"context"
	"sync"
	"time"

	"github.com/onlyonce-go/onlyonce/store"
)

// Duplicates within one process share one flight: the first call of a key leads, talks to the store and runs or waits;
// the others follow it and cost the store nothing.

// flight is what a leader shares with its followers. Its fields are guarded by the shard of its key.
type flight struct {
	phase flightPhase
	// fingerprint is that of the record, which need not be the leader's. It is known once the store has answered.
	fingerprint store.Fingerprint
	followers   int
	// changed is made by the first follower, and closed and forgotten at every change of phase.
	changed chan struct{}
	landing landing
	// run is the leader's run while there is one.
	run *execution
}

type flightPhase uint8

const (
	flightClaiming   flightPhase = iota // the leader has asked the store and has no answer
	flightBlocked                       // another transaction may hold the record, nobody can see for which request
	flightRunning                       // somebody runs: the leader, or the owner whom the leader waits for
	flightRecovering                    // a recovery function looks into what became of a run
	flightOver                          // landing says how it ended
)

// landing is how a flight ended.
type landing struct {
	kind landingKind
	// record is the completed record of a landedRecord.
	record *store.Record
	// reply is what the followers of a landedReply get.
	reply Reply
	// rejection is what the followers of a landedRejection get, each with a delay of its own.
	rejection *Rejection
}

type landingKind uint8

const (
	landedAgain     landingKind = iota // the leader left without an answer for others: they start over
	landedRecord                       // the outcome is recorded
	landedReply                        // the run ended without a record: its followers share its answer
	landedRejection                    // its followers are rejected like the leader
)

const flightShards = 64 // a power of two

type flights struct {
	shards [flightShards]flightShard

	counting  sync.Mutex
	counted   int // detached runs, at countedAt
	countedAt time.Time
}

type flightShard struct {
	mu      sync.Mutex
	flights map[store.Key]*flight
}

func (fs *flights) init() {
	for i := range fs.shards {
		fs.shards[i].flights = make(map[store.Key]*flight)
	}
}

// shard spreads by another byte than memstore does, so that the two do not correlate.
func (fs *flights) shard(key *store.Key) *flightShard { return &fs.shards[key[1]%flightShards] }

// board makes own the flight of the key, or returns the one that is under way.
func (fs *flights) board(key *store.Key, own *flight) *flight {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if other := sh.flights[*key]; other != nil {
		return other
	}

	sh.flights[*key] = own

	return own
}

// enter tells the followers what the flight has come to, whose record it is about, and, where the leader runs, its run.
func (fs *flights) enter(phase flightPhase, key *store.Key, f *flight, fingerprint store.Fingerprint, run *execution) {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase == phase && f.fingerprint == fingerprint && f.run == run {
		return
	}

	f.phase = phase
	f.fingerprint = fingerprint
	f.run = run
	f.signal()
}

// land ends the flight. The next call of the key starts another.
func (fs *flights) land(key *store.Key, f *flight, how landing) {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	f.phase = flightOver
	f.landing = how
	f.run = nil
	delete(sh.flights, *key)
	f.signal()
}

func (f *flight) signal() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// follow counts a follower in, unless there are too many.
func (fs *flights) follow(key *store.Key, f *flight, limit int) bool {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.followers >= limit {
		return false
	}

	f.followers++

	return true
}

func (fs *flights) unfollow(key *store.Key, f *flight) {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	f.followers--
}

// view is what a follower sees of a flight.
type view struct {
	phase       flightPhase
	fingerprint store.Fingerprint
	landing     landing
	changed     <-chan struct{} // closed when there is more to see; nil when the flight is over
}

func (fs *flights) view(key *store.Key, f *flight) view {
	sh := fs.shard(key)

	sh.mu.Lock()
	defer sh.mu.Unlock()

	if f.phase != flightOver && f.changed == nil {
		f.changed = make(chan struct{})
	}

	return view{phase: f.phase, fingerprint: f.fingerprint, landing: f.landing, changed: f.changed}
}

// each calls visit with every run of this process.
func (fs *flights) each(visit func(*execution)) {
	for i := range fs.shards {
		sh := &fs.shards[i]

		sh.mu.Lock()

		for _, f := range sh.flights {
			if f.run != nil {
				visit(f.run)
			}
		}

		sh.mu.Unlock()
	}
}

const (
	// manyCalls is from where on detached runs are not counted anew for every call: counting looks at every run.
	manyCalls = 4_000
	// recount is how long a count is good for then.
	recount = 5 * time.Millisecond
)

// detached counts the runs whose callers have gone; where there are many calls, as of a moment ago.
func (fs *flights) detached(calls int64) int {
	if calls < manyCalls {
		return fs.countDetached()
	}

	now := time.Now()

	fs.counting.Lock()
	defer fs.counting.Unlock()

	if now.Sub(fs.countedAt) >= recount {
		fs.counted, fs.countedAt = fs.countDetached(), now
	}

	return fs.counted
}

func (fs *flights) countDetached() int {
	n := 0

	fs.each(func(x *execution) {
		if x.caller.Err() != nil {
			n++
		}
	})

	return n
}

// cancel tells every run why it should end, and returns how many there were.
func (fs *flights) cancel(cause error) int {
	var cancels []context.CancelCauseFunc

	fs.each(func(x *execution) { cancels = append(cancels, x.cancel) })

	for _, cancel := range cancels {
		cancel(cause)
	}

	return len(cancels)
}
